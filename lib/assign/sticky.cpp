// Sticky: everything stays where it is; orphans fill the gaps; then single partitions move while that evens the load.
//
// Model     overload(w) = load(w) - fair(w), fair(w) = total weight * capacity(w) / total capacity. All in whole numbers (times
//           the total capacity), so that every machine agrees.
//           A move from d to r of weight w is worth making when w < overload(d) - overload(r): the sum of squared overloads
//           falls, so it ends. Of d's partitions the heaviest is taken that leaves d at or above and r at or below its fair
//           share: such a move brings both nearer and is never undone. When there is none, the lightest is taken, if it is worth
//           it. With epsilon 0 everybody may give, so that one huge partition does not leave the others uneven; else only who is
//           above (1 + epsilon) * fair. The least overload never falls. So a worker that cannot give to the least loaded one
//           never can again, unless it gets more.
// Zones     A zone's overload is the sum of its workers'. It decides among equals who gives and who takes; and a partition that
//           leaves the workers no less even (w <= overload(d) - overload(r)) moves between zones when that evens those (w <
//           overload(zone of d) - overload(zone of r)). Workers first, zones second, both only ever better: it ends.
// Budget    A move of a partition that is where it was before costs one; the first that cannot be paid ends the plan. The next
//           call goes on from there: all together they do what one call without a budget does.
// Bound     At the end a giver's lightest partition is >= overload(d) - overload(r), and overload(r) <= 0: hence
//           load <= fair + the heaviest partition. The result given as the previous assignment is returned unchanged.
// Cost      O(P + W + moves * log P); partitions of workers that give nothing are not sorted. A move between zones alone: O(W +
//           Z^2).
#include <algorithm>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include <parti/strategy.h>

#include "assign/options.h"
#include "assign/ranking.h"

namespace parti {

namespace {

using assign::kMillion;
using assign::Rank;
using assign::Wide;

// With more zones than that, a zone is little else than a worker: they are not looked at.
constexpr std::size_t kZonesMax = 256;

struct Rules {
    std::int64_t epsilon_ppm = 0;
    std::int64_t budget = std::numeric_limits<std::int64_t>::max();  // moves of owned partitions
    bool spread_zones = true;
};

// Per worker the index of its zone, from 0 in order of appearance; and how many zones there are.
std::pair<std::vector<std::size_t>, std::size_t> zones_of(std::span<const StrategyWorker> workers, bool spread) {
    std::vector<std::size_t> zone(workers.size(), 0);
    if (!spread) return {zone, 1};
    std::map<std::string_view, std::size_t> names;
    for (std::size_t i = 0; i < workers.size(); ++i) {
        zone[i] = names.try_emplace(workers[i].zone, names.size()).first->second;
        if (names.size() > kZonesMax) return {std::vector<std::size_t>(workers.size(), 0), 1};
    }
    return {zone, names.size()};
}

class Balancer {
public:
    Balancer(const StrategyInput& input, const Rules& rules)
        : Balancer(input, rules, zones_of(input.workers, rules.spread_zones)) {}

    std::vector<std::int32_t> run() {
        const std::vector<std::int32_t> orphans = keep();
        for (std::size_t i = 0; i < workers_.size(); ++i) {
            least_.push(workers_[i].zone, {workers_[i].overload, static_cast<std::int32_t>(i)});
        }
        for (std::size_t zone = 0; zone < zones_.size(); ++zone) touch(zone);
        for (const std::int32_t orphan : orphans) {
            const std::int32_t worker = least_loaded();
            put(orphan, worker);
            touch(at(worker).zone);
        }
        for (std::size_t i = 0; i < workers_.size(); ++i) offer(static_cast<std::int32_t>(i));
        for (std::size_t zone = 0; zone < zones_.size(); ++zone) touch(zone);
        balance();
        while (zones_.size() > 1 && !spent_ && move_between_zones()) balance();
        return std::move(owner_);
    }

private:
    struct Slot {
        std::int64_t capacity = 1;
        std::size_t zone = 0;
        Wide overload = 0;                                                         // times the total capacity
        std::int64_t lightest_held = std::numeric_limits<std::int64_t>::max();     // of `held`
        std::vector<std::int32_t> held;                                            // until the worker first gives
        std::optional<std::set<std::pair<std::int64_t, std::int32_t>>> by_weight;  // afterwards: (weight, partition)

        // Of what it has; 0 = it has nothing.
        std::int64_t lightest() const {
            if (by_weight) return by_weight->empty() ? 0 : by_weight->begin()->first;
            return held.empty() ? 0 : lightest_held;
        }
    };
    struct Zone {
        std::int64_t capacity = 0;
        Wide overload = 0;
    };

    Balancer(const StrategyInput& input, const Rules& rules, const std::pair<std::vector<std::size_t>, std::size_t>& zones)
        : input_(input), epsilon_ppm_(rules.epsilon_ppm), budget_(rules.budget), zones_(zones.second), least_(zones.second),
          most_(zones.second) {
        std::int64_t divisor = 0;
        for (const StrategyWorker& worker : input.workers) divisor = std::gcd(divisor, std::int64_t{worker.capacity});
        for (const StrategyWorker& worker : input.workers) {
            workers_.push_back({});
            workers_.back().capacity = worker.capacity / divisor;
            capacity_ += workers_.back().capacity;
        }
        for (std::size_t i = 0; i < workers_.size(); ++i) {
            workers_[i].zone = zones.first[i];
            zones_[workers_[i].zone].capacity += workers_[i].capacity;
        }
        for (const Partition& partition : input.partitions) {
            total_ += partition.weight();
            lightest_ = std::min(lightest_, partition.weight());
        }
        for (std::size_t i = 0; i < workers_.size(); ++i)
            add_load(static_cast<std::int32_t>(i), -Wide{total_} * workers_[i].capacity);
    }

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

    void add_load(std::int32_t worker, Wide change) {
        at(worker).overload += change;
        zones_[at(worker).zone].overload += change;
    }
    void take(std::int32_t partition, std::int32_t worker) {
        Slot& slot = at(worker);
        owner_[static_cast<std::size_t>(partition)] = worker;
        add_load(worker, Wide{weight(partition)} * capacity_);
        if (slot.by_weight) {
            slot.by_weight->insert({weight(partition), partition});
        } else {
            slot.held.push_back(partition);
            slot.lightest_held = std::min(slot.lightest_held, weight(partition));
        }
    }
    void put(std::int32_t partition, std::int32_t worker) {
        take(partition, worker);
        least_.push(at(worker).zone, {at(worker).overload, worker});
    }
    auto overload_of() {
        return [this](std::int32_t worker) { return at(worker).overload; };
    }
    void touch(std::size_t zone) {
        least_.touch(zone, zones_[zone].overload, overload_of());
        most_.touch(zone, zones_[zone].overload, overload_of());
    }
    std::int32_t least_loaded() { return least_.top(overload_of())->worker; }

    bool above_tolerance(Wide overload, std::int64_t capacity) const {
        return epsilon_ppm_ == 0 || overload * kMillion > Wide{total_} * capacity * epsilon_ppm_;
    }
    void offer(std::int32_t worker) {
        const Slot& slot = at(worker);
        if (above_tolerance(slot.overload, slot.capacity)) most_.push(slot.zone, {slot.overload, worker});
    }

    // False: the budget does not allow it.
    bool pay(std::int32_t partition) {
        const auto i = static_cast<std::size_t>(partition);
        if (input_.previous_owner[i] == kNobody || owner_[i] != input_.previous_owner[i]) return true;
        spent_ = budget_ == 0;
        if (!spent_) --budget_;
        return !spent_;
    }
    void move(std::int32_t partition, std::int32_t from, std::int32_t to) {
        Slot& giver = at(from);
        giver.by_weight->erase({weight(partition), partition});
        add_load(from, -Wide{weight(partition)} * capacity_);
        least_.push(giver.zone, {giver.overload, from});
        put(partition, to);
        offer(from);
        offer(to);
        touch(giver.zone);
        if (at(to).zone != giver.zone) touch(at(to).zone);
    }

    void balance() {
        for (std::optional<Rank> top = most_.top(overload_of()); top; top = most_.top(overload_of())) {
            const std::size_t zone = at(top->worker).zone;
            most_.pop(zone);
            const std::int32_t receiver = least_loaded();
            if (Wide{lightest_} * capacity_ >= top->overload - at(receiver).overload) return;  // for nobody is any move worth it
            const std::int32_t partition = choose(top->worker, receiver);
            if (partition == kNobody) {
                touch(zone);
                continue;
            }
            if (!pay(partition)) return;
            move(partition, top->worker, receiver);
        }
    }

    // The giver of each zone: who would be left with the most. Nobody where the zone's share is not exceeded.
    std::vector<std::int32_t> givers() {
        std::vector<std::int32_t> out(zones_.size(), kNobody);
        for (std::size_t i = 0; i < workers_.size(); ++i) {
            const Slot& slot = workers_[i];
            const Zone& zone = zones_[slot.zone];
            if (slot.lightest() == 0 || zone.overload <= 0 || !above_tolerance(zone.overload, zone.capacity)) continue;
            std::int32_t& best = out[slot.zone];
            if (best == kNobody || left_with(slot) > left_with(at(best))) best = static_cast<std::int32_t>(i);
        }
        return out;
    }
    Wide left_with(const Slot& slot) const { return slot.overload - Wide{slot.lightest()} * capacity_; }

    // One partition from a zone above its share to one below it. False: there is none.
    bool move_between_zones() {
        const std::vector<std::int32_t> giver = givers();
        std::vector<std::size_t> order(zones_.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [this](std::size_t a, std::size_t b) { return zones_[a].overload > zones_[b].overload; });
        for (const std::size_t from : order) {
            if (giver[from] == kNobody) continue;
            Slot& slot = at(giver[from]);
            for (std::size_t i = order.size(); i-- > 0;) {
                const std::size_t to = order[i];
                const Wide weight = Wide{slot.lightest()} * capacity_;
                if (zones_[to].overload >= 0 || weight >= zones_[from].overload - zones_[to].overload) break;
                const std::int32_t receiver = least_.top_of(to, overload_of())->worker;
                if (weight > slot.overload - at(receiver).overload) continue;
                if (!slot.by_weight) sort_held(slot);
                const std::int32_t partition = slot.by_weight->begin()->second;
                if (!pay(partition)) return false;
                move(partition, giver[from], receiver);
                return true;
            }
        }
        return false;
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
    std::int64_t budget_;
    bool spent_ = false;      // a move could not be paid
    std::int64_t total_ = 0;  // weight
    std::int64_t lightest_ = std::numeric_limits<std::int64_t>::max();
    std::int64_t capacity_ = 0;  // of all workers
    std::vector<Slot> workers_;
    std::vector<std::int32_t> owner_;
    std::vector<Zone> zones_;
    assign::Ranking<assign::LeastFirst> least_;
    assign::Ranking<assign::MostFirst> most_;
};

class Sticky final : public Strategy {
public:
    explicit Sticky(StickyOptions options)
        : options_(options), epsilon_ppm_(assign::to_ppm(options.epsilon, 0, 1)),
          share_ppm_(options.max_moves_share >= 1 ? kMillion : assign::to_ppm(options.max_moves_share, 0, 1)) {}

    std::vector<std::int32_t> assign(const StrategyInput& input) const override {
        Rules rules{epsilon_ppm_, std::numeric_limits<std::int64_t>::max(), options_.spread_zones};
        const auto partitions = static_cast<std::int64_t>(input.partitions.size());
        if (share_ppm_ < kMillion) rules.budget = std::max<std::int64_t>(1, partitions * share_ppm_ / kMillion);
        if (options_.max_moves > 0) rules.budget = std::min<std::int64_t>(rules.budget, options_.max_moves);
        return Balancer(input, rules).run();
    }
    std::string_view name() const override { return "sticky"; }
    Result<void> validate() const override { return options_.validate(); }
    bool works_in_steps() const override { return share_ppm_ < kMillion || options_.max_moves > 0; }

private:
    StickyOptions options_;
    std::int64_t epsilon_ppm_;
    std::int64_t share_ppm_;
};

}  // namespace

std::shared_ptr<const Strategy> sticky(StickyOptions options) { return std::make_shared<Sticky>(options); }

}  // namespace parti
