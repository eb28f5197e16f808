// Sticky: everything stays where it is; orphans fill the gaps; then single partitions move while that evens the load.
//
// Model     overload(w) = load(w) - fair(w), fair(w) = total weight * capacity(w) / total capacity. All in whole numbers (times
// the
//           total capacity), so that every machine agrees.
//           A move from d to r of weight w is worth making when w < overload(d) - overload(r): the sum of squared overloads
//           falls, so it ends. Of d's partitions the heaviest is taken that leaves d at or above and r at or below its fair
//           share: such a move brings both nearer and is never undone. When there is none, the lightest is taken, if it is worth
//           it. With epsilon 0 everybody may give, so that one huge partition does not leave the others uneven; else only who is
//           above (1 + epsilon) * fair. The least overload never falls. So a worker that cannot give to the least loaded one
//           never can again, unless it gets more.
// Bound     At the end a giver's lightest partition is >= overload(d) - overload(r), and overload(r) <= 0: hence
//           load <= fair + the heaviest partition. The result given as the previous assignment is returned unchanged.
// Cost      O(P + W + moves * log P); partitions of workers that give nothing are not sorted.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <queue>
#include <set>

#include <parti/strategy.h>

namespace parti {

namespace {

__extension__ using Wide = __int128;  // weights (2^50 in sum) x capacities (2^37 in sum) x 10^6

constexpr std::int64_t kMillion = 1'000'000;

class Balancer {
public:
    Balancer(const StrategyInput& input, std::int64_t epsilon_ppm) : input_(input), epsilon_ppm_(epsilon_ppm) {
        std::int64_t divisor = 0;
        for (const StrategyWorker& worker : input.workers) divisor = std::gcd(divisor, std::int64_t{worker.capacity});
        for (const StrategyWorker& worker : input.workers) {
            workers_.push_back({});
            workers_.back().capacity = worker.capacity / divisor;
            capacity_ += workers_.back().capacity;
        }
        for (const Partition& partition : input.partitions) {
            total_ += partition.weight();
            lightest_ = std::min(lightest_, partition.weight());
        }
        for (Slot& worker : workers_) worker.overload = -Wide{total_} * worker.capacity;
    }

    std::vector<std::int32_t> run() {
        const std::vector<std::int32_t> orphans = keep();
        for (std::size_t i = 0; i < workers_.size(); ++i) least_.push({workers_[i].overload, static_cast<std::int32_t>(i)});
        for (const std::int32_t orphan : orphans) put(orphan, least_loaded());
        for (std::size_t i = 0; i < workers_.size(); ++i) offer(static_cast<std::int32_t>(i));
        balance();
        return std::move(owner_);
    }

private:
    struct Slot {
        std::int64_t capacity = 1;
        Wide overload = 0;                                                         // times the total capacity
        std::vector<std::int32_t> held;                                            // until the worker first gives
        std::optional<std::set<std::pair<std::int64_t, std::int32_t>>> by_weight;  // afterwards: (weight, partition)
    };
    // Entries whose overload is no longer the worker's are skipped when they come up.
    struct Rank {
        Wide overload;
        std::int32_t worker;
    };
    struct LeastFirst {
        bool operator()(const Rank& a, const Rank& b) const {
            return a.overload != b.overload ? a.overload > b.overload : a.worker > b.worker;
        }
    };
    struct MostFirst {
        bool operator()(const Rank& a, const Rank& b) const {
            return a.overload != b.overload ? a.overload < b.overload : a.worker > b.worker;
        }
    };

    Slot& at(std::int32_t worker) { return workers_[static_cast<std::size_t>(worker)]; }
    std::int64_t weight(std::int32_t partition) const { return input_.partitions[static_cast<std::size_t>(partition)].weight(); }

    // Leaves everything with its owner. The rest, heaviest first.
    std::vector<std::int32_t> keep() {
        const auto count = static_cast<std::int32_t>(input_.partitions.size());
        owner_.assign(input_.partitions.size(), kNobody);
        std::vector<std::int32_t> orphans;
        for (std::int32_t i = 0; i < count; ++i) {
            const std::int32_t before = input_.previous_owner[static_cast<std::size_t>(i)];
            if (before == kNobody) {
                orphans.push_back(i);
            } else {
                take(i, before);
            }
        }
        std::stable_sort(orphans.begin(), orphans.end(),
                         [this](std::int32_t a, std::int32_t b) { return weight(a) > weight(b); });
        return orphans;
    }

    void take(std::int32_t partition, std::int32_t worker) {
        Slot& slot = at(worker);
        owner_[static_cast<std::size_t>(partition)] = worker;
        slot.overload += Wide{weight(partition)} * capacity_;
        if (slot.by_weight) {
            slot.by_weight->insert({weight(partition), partition});
        } else {
            slot.held.push_back(partition);
        }
    }
    void put(std::int32_t partition, std::int32_t worker) {
        take(partition, worker);
        least_.push({at(worker).overload, worker});
    }
    std::int32_t least_loaded() {
        while (at(least_.top().worker).overload != least_.top().overload) least_.pop();
        return least_.top().worker;
    }

    void offer(std::int32_t worker) {
        const Slot& slot = at(worker);
        if (epsilon_ppm_ == 0 || slot.overload * kMillion > Wide{total_} * slot.capacity * epsilon_ppm_)
            most_.push({slot.overload, worker});
    }

    void balance() {
        while (!most_.empty()) {
            const Rank top = most_.top();
            most_.pop();
            if (at(top.worker).overload != top.overload) continue;
            const std::int32_t receiver = least_loaded();
            if (Wide{lightest_} * capacity_ >= top.overload - at(receiver).overload) return;  // for nobody is any move worth it
            const std::int32_t partition = choose(top.worker, receiver);
            if (partition == kNobody) continue;
            Slot& giver = at(top.worker);
            giver.by_weight->erase({weight(partition), partition});
            giver.overload -= Wide{weight(partition)} * capacity_;
            least_.push({giver.overload, top.worker});
            put(partition, receiver);
            offer(top.worker);
            offer(receiver);
        }
    }

    std::int32_t choose(std::int32_t from, std::int32_t to) {
        Slot& giver = at(from);
        const Wide difference = giver.overload - at(to).overload;
        if (!giver.by_weight) sort_held(giver);
        if (giver.by_weight->empty()) return kNobody;
        const Wide nearer = std::min(giver.overload, -at(to).overload) / capacity_;
        const auto bound = static_cast<std::int64_t>(std::clamp<Wide>(nearer, 0, std::numeric_limits<std::int64_t>::max()));
        auto found = giver.by_weight->upper_bound({bound, std::numeric_limits<std::int32_t>::max()});
        if (found != giver.by_weight->begin()) --found;  // the heaviest within the bound, or the lightest of all
        return Wide{found->first} * capacity_ < difference ? found->second : kNobody;
    }

    void sort_held(Slot& slot) {
        std::vector<std::pair<std::int64_t, std::int32_t>> pairs;
        pairs.reserve(slot.held.size());
        for (const std::int32_t partition : slot.held) pairs.emplace_back(weight(partition), partition);
        std::sort(pairs.begin(), pairs.end());
        slot.by_weight.emplace(pairs.begin(), pairs.end());
        slot.held = {};
    }

    const StrategyInput& input_;
    std::int64_t epsilon_ppm_;
    std::int64_t total_ = 0;  // weight
    std::int64_t lightest_ = std::numeric_limits<std::int64_t>::max();
    std::int64_t capacity_ = 0;  // of all workers
    std::vector<Slot> workers_;
    std::vector<std::int32_t> owner_;
    std::priority_queue<Rank, std::vector<Rank>, LeastFirst> least_;
    std::priority_queue<Rank, std::vector<Rank>, MostFirst> most_;
};

class Sticky final : public Strategy {
public:
    explicit Sticky(StickyOptions options) {
        const double epsilon = options.epsilon > 0 ? std::min(options.epsilon, 1.0) : 0.0;  // also for "not a number"
        epsilon_ppm_ = std::llround(epsilon * static_cast<double>(kMillion));
    }
    std::vector<std::int32_t> assign(const StrategyInput& input) const override { return Balancer(input, epsilon_ppm_).run(); }
    std::string_view name() const override { return "sticky"; }

private:
    std::int64_t epsilon_ppm_ = 0;
};

}  // namespace

std::shared_ptr<const Strategy> sticky(StickyOptions options) {
    return std::make_shared<Sticky>(options);
}

}  // namespace parti
