// CoreBench: a few cores around one store, in one queue of virtual time, without faults unless a test asks for one.
//
// Role      For unit tests of stories: what a test says happens, and nothing else. The simulation (test/simulation) is for the
//           rest.
// Model     Every put, answer and delivery takes `latency`. Watches are perfect: every core hears what it asked for, in order.
// Threads   One.
#pragma once

#include <algorithm>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/assert.h"
#include "core/worker_core.h"

namespace parti::test {

inline Config story_config() {
    using namespace std::chrono_literals;
    Config out;
    out.group = "g";
    out.timing.heartbeat = 300ms;
    out.timing.ttl = 1s;
    out.timing.margin = 200ms;
    out.timing.stop_budget = 100ms;
    out.timing.drain_timeout = 2s;
    out.timing.grant_timeout = 3s;
    out.timing.leader_publish_timeout = 2s;
    out.timing.cold_start_window = 2s;
    out.timing.planned_scale_window = 1s;
    out.timing.min_rebalance_interval = 200ms;
    return out;
}

class FirstFit : public Strategy {  // keeps what is there, deals the rest round robin, then evens out: enough for stories
public:
    std::vector<std::int32_t> assign(const StrategyInput& input) const override {
        const std::size_t workers = input.workers.size();
        const std::size_t fair = (input.partitions.size() + workers - 1) / workers;
        std::vector<std::size_t> load(workers, 0);
        std::vector<std::int32_t> out(input.partitions.size(), kNobody);
        for (std::size_t i = 0; i < out.size(); ++i) {
            const std::int32_t owner = input.previous_owner[i];
            if (owner == kNobody || load[static_cast<std::size_t>(owner)] >= fair) continue;
            out[i] = owner;
            ++load[static_cast<std::size_t>(owner)];
        }
        for (std::int32_t& owner : out) {
            if (owner != kNobody) continue;
            std::size_t best = 0;
            for (std::size_t w = 1; w < workers; ++w) {
                if (load[w] < load[best]) best = w;
            }
            owner = static_cast<std::int32_t>(best);
            ++load[best];
        }
        return out;
    }
    std::string_view name() const override { return "first_fit"; }
};

class CoreBench {
public:
    struct Node {
        std::unique_ptr<core::WorkerCore> core;
        core::Interest interest;
        std::vector<std::string> notes;
        std::vector<AlertLevel> alerts;
        int refreshes = 0;
        std::uint32_t speaks = kRecordMajor;            // records of a higher major reach it as unreadable
        std::map<std::uint64_t, std::string> tokens;    // grant -> partition, valid ones
        std::map<std::uint64_t, std::string> draining;  // revoked, and not released by its user yet
        std::vector<State> states;
        std::vector<Bucket> created;  // buckets it wanted to be made again
        bool dead = false;
        bool cut = false;  // neither hears nor is heard
        bool release_at_once = true;
        std::vector<std::uint64_t> unreleased;

        bool said(std::string_view what) const {
            return std::any_of(notes.begin(), notes.end(),
                               [what](const std::string& note) { return note.find(what) != std::string::npos; });
        }
    };

    explicit CoreBench(Config config, std::size_t partitions, std::uint64_t seed = 1) : config_(std::move(config)), seed_(seed) {
        std::vector<Partition> list;
        for (std::size_t i = 0; i < partitions; ++i) list.push_back(Partition::from_id("p" + std::to_string(1000 + i)).value());
        partitions_ = make_partition_set(std::move(list)).value();
    }

    std::size_t add() { return add(config_); }
    std::size_t add(const Config& config, std::uint32_t speaks = kRecordMajor) {
        nodes_.push_back(std::make_unique<Node>());
        Node& node = *nodes_.back();
        node.speaks = speaks;
        node.core = std::make_unique<core::WorkerCore>(config, std::make_shared<FirstFit>(), seed_ * 1000 + nodes_.size(),
                                                       nodes_.size(), speaks);
        const std::size_t index = nodes_.size() - 1;
        feed(index, core::PartitionsChanged{partitions_});
        feed(index, core::Start{});
        return index;
    }
    Node& node(std::size_t index) { return *nodes_[index]; }
    core::WorkerCore& core(std::size_t index) { return *nodes_[index]->core; }
    std::size_t size() const { return nodes_.size(); }
    core::Instant now() const { return now_; }
    std::size_t puts() const { return puts_; }
    const std::map<std::pair<Bucket, Key>, Entry>& store() const { return store_; }

    void feed(std::size_t index, const core::Event& event) {
        Node& node = *nodes_[index];
        if (node.dead) return;
        if (const auto* done = std::get_if<core::ReleaseDone>(&event)) {
            for (const std::uint64_t grant : done->grants) node.draining.erase(grant);
        }
        core::Effects effects;
        node.core->step(now_, event, effects);
        node.core->check();
        for (const core::Effect& effect : effects) carry_out(index, effect);
    }
    // An operator's or a stranger's write, past every rule.
    void scribble(Bucket bucket, Key key, RecordValue value) { store(bucket, key, std::move(value)); }

    // What the store holds of one bucket, and the way back to it: everybody is told, as by a hub.
    struct Copy {
        Bucket bucket = Bucket::lease;
        std::map<std::pair<Bucket, Key>, Entry> entries;
        Revision sequence = 0;
    };
    Copy copy(Bucket bucket) {
        Copy out{bucket, {}, sequence_[bucket]};
        for (const auto& item : store_) {
            if (item.first.first == bucket) out.entries.insert(item);
        }
        return out;
    }
    // Nobody is told.
    void roll_back_unnoticed(const Copy& copy) {
        std::erase_if(store_, [&](const auto& item) { return item.first.first == copy.bucket; });
        store_.insert(copy.entries.begin(), copy.entries.end());
        sequence_[copy.bucket] = copy.sequence;
    }
    void roll_back(const Copy& copy) {
        roll_back_unnoticed(copy);
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            if (nodes_[i]->cut) continue;
            later(latency, [this, i, bucket = copy.bucket] { feed(i, core::HistoryLost{bucket, "rolled back"}); });
            for (const auto& [key, entry] : copy.entries) {
                if (wants(nodes_[i]->interest, key.first, key.second)) deliver(i, entry);
            }
            later(latency, [this, i] { feed(i, core::SnapshotDone{nodes_[i]->interest.id}); });
        }
    }
    // How many workers hold the partition that most of them hold: by a valid token, or because their user has not let go of it
    // yet.
    int owners_most() const {
        std::map<std::string, int> owners;
        int most = 0;
        for (const auto& node : nodes_) {
            std::set<std::string> held;
            for (const auto* map : {&node->tokens, &node->draining}) {
                for (const auto& [grant, partition] : *map) held.insert(partition);
            }
            for (const std::string& partition : held) most = std::max(most, ++owners[partition]);
        }
        return most;
    }

    // Runs until the condition holds, and says whether it did. `most`: the most owners that a partition had meanwhile.
    bool run_until(const std::function<bool()>& condition, Duration limit, int& most) {
        return run_until(
            [&] {
                most = std::max(most, owners_most());
                return condition();
            },
            limit);
    }
    // Runs until the condition holds or virtual time is over. True when it held.
    bool run_until(const std::function<bool()>& condition, Duration limit) {
        const core::Instant end = now_ + limit;
        while (!condition()) {
            if (!step(end)) return condition();
        }
        return true;
    }
    void run_for(Duration span) {
        const core::Instant end = now_ + span;
        while (step(end)) {
        }
        now_ = std::max(now_, end);
    }
    void cut(std::size_t index) { nodes_[index]->cut = true; }
    // Its process is gone, and whatever it had with it.
    void kill(std::size_t index) {
        Node& node = *nodes_[index];
        node.dead = true;
        node.tokens.clear();
        node.draining.clear();
    }
    // The link is back: what it missed is read again.
    void heal(std::size_t index) {
        Node& node = *nodes_[index];
        node.cut = false;
        feed(index, core::LinkChanged{true});
        for (const auto& [key, entry] : store_) {
            if (wants(node.interest, key.first, key.second)) deliver(index, entry);
        }
        later(latency, [this, index, id = node.interest.id] { feed(index, core::SnapshotDone{id}); });
    }
    void replace_partitions(std::size_t partitions) {
        std::vector<Partition> list;
        for (std::size_t i = 0; i < partitions; ++i) list.push_back(Partition::from_id("p" + std::to_string(1000 + i)).value());
        partitions_ = make_partition_set(std::move(list)).value();
        for (std::size_t i = 0; i < nodes_.size(); ++i) feed(i, core::PartitionsChanged{partitions_});
    }
    const HeadRecord& head() const { return *std::get<HeadPtr>(store_.at({Bucket::assignment, head_key()}).value); }

    // Every partition has exactly one valid token, and every living core is Stable.
    bool covered() const {
        std::map<std::string, int> owners;
        for (const auto& node : nodes_) {
            if (node->dead || node->core->state() == State::stopped) continue;
            if (node->core->state() != State::stable) return false;
            for (const auto& [grant, partition] : node->tokens) ++owners[partition];
        }
        if (owners.size() != partitions_->size()) return false;
        for (const auto& [partition, count] : owners) {
            if (count != 1) return false;
        }
        return true;
    }
    std::size_t leaders() const {
        std::size_t count = 0;
        for (const auto& node : nodes_) {
            if (!node->dead && node->core->leading()) ++count;
        }
        return count;
    }

    // The one that leads; size() when nobody does.
    std::size_t leader() const {
        std::size_t i = 0;
        while (i < nodes_.size() && (nodes_[i]->dead || !nodes_[i]->core->leading())) ++i;
        return i;
    }

    Duration latency = std::chrono::microseconds(200);
    // Asked before a put reaches the store: false = it is lost on the way.
    std::function<bool(std::size_t node, const core::Put&)> let_put;
    // Asked before an answer reaches the node: false = it is lost on the way back.
    std::function<bool(std::size_t node, const core::Put&)> let_answer;
    // Asked before a node hears of an entry: false = it does not.
    std::function<bool(std::size_t node, const Entry&)> let_hear;

private:
    void later(Duration after, std::function<void()> action) { queue_.emplace(now_ + after, std::move(action)); }

    bool step(core::Instant end) {
        core::Instant next = end;
        std::optional<std::size_t> timer;
        if (!queue_.empty()) next = std::min(next, queue_.begin()->first);
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            if (nodes_[i]->dead) continue;
            const auto deadline = nodes_[i]->core->next_deadline();
            if (deadline && std::max(*deadline, now_) < next) {
                next = std::max(*deadline, now_);
                timer = i;
            }
        }
        if (timer) {
            PARTI_ASSERT(next > now_ || ++same_instant_ < 10'000);
            if (next > now_) same_instant_ = 0;
            now_ = next;
            feed(*timer, core::Tick{});
            return true;
        }
        if (queue_.empty() || queue_.begin()->first > end) return false;
        now_ = queue_.begin()->first;
        const auto action = std::move(queue_.begin()->second);
        queue_.erase(queue_.begin());
        action();
        return true;
    }

    static bool wants(const core::Interest& interest, Bucket bucket, const Key& key) {
        if (key.kind != Key::Kind::worker) return true;
        if (bucket == Bucket::lease) return interest.all_leases || interest.leader_lease == key.number;
        return interest.all_assignments || interest.own_assignment == key.number;
    }

    void store(Bucket bucket, const Key& key, RecordValue value) {
        Entry entry{bucket, key, ++sequence_[bucket], std::move(value)};
        store_[{bucket, key}] = entry;
        for (std::size_t i = 0; i < nodes_.size(); ++i) {
            if (wants(nodes_[i]->interest, bucket, key)) deliver(i, entry);
        }
    }
    // What the codec of a node makes of a record.
    Entry read_by(const Node& node, Entry entry) const {
        std::uint32_t major = kRecordMajorOldest;
        if (const auto* head = std::get_if<HeadPtr>(&entry.value)) major = (*head)->major;
        if (const auto* record = std::get_if<AssignmentPtr>(&entry.value)) major = (*record)->major;
        if (major <= node.speaks) return entry;
        Unreadable future{{Errc::future_record, "major " + std::to_string(major)}, true};
        entry.value = std::make_shared<const Unreadable>(std::move(future));
        return entry;
    }
    void deliver(std::size_t index, const Entry& stored) {
        later(latency, [this, index, entry = read_by(*nodes_[index], stored)] {
            if (!nodes_[index]->cut && (!let_hear || let_hear(index, entry))) feed(index, core::EntrySeen{entry, now_});
        });
    }

    void carry_out(std::size_t index, const core::Effect& effect) {
        Node& node = *nodes_[index];
        if (const auto* put = std::get_if<core::Put>(&effect)) {
            ++puts_;
            if (!node.cut && (!let_put || let_put(index, *put)))
                later(latency, [this, index, copy = *put] { arrive(index, copy); });
        } else if (const auto* fetch = std::get_if<core::Fetch>(&effect)) {
            if (node.cut) return;
            later(latency, [this, index, copy = *fetch] {
                const auto it = store_.find({copy.bucket, copy.key});
                const Entry entry =
                    read_by(*nodes_[index], it != store_.end() ? it->second : Entry{copy.bucket, copy.key, 0, Absent{}});
                later(latency, [this, index, copy, entry] { feed(index, core::FetchAnswered{copy.token, entry}); });
            });
        } else if (const auto* interest = std::get_if<core::SetInterest>(&effect)) {
            node.interest = interest->interest;
            for (const auto& [key, entry] : store_) {
                if (wants(node.interest, key.first, key.second)) deliver(index, entry);
            }
            later(latency, [this, index, id = node.interest.id] { feed(index, core::SnapshotDone{id}); });
        } else if (const auto* create = std::get_if<core::CreateBucket>(&effect)) {
            node.created.push_back(create->bucket);
        } else if (const auto* granted = std::get_if<core::Granted>(&effect)) {
            for (const core::Grant& grant : granted->grants) node.tokens[grant.grant] = grant.partition.id();
        } else if (const auto* revoked = std::get_if<core::Revoked>(&effect)) {
            for (const std::uint64_t grant : revoked->grants) {
                if (auto token = node.tokens.extract(grant)) node.draining.insert(std::move(token));
            }
            if (node.release_at_once)
                later(latency, [this, index, copy = revoked->grants] { feed(index, core::ReleaseDone{copy}); });
            else node.unreleased.insert(node.unreleased.end(), revoked->grants.begin(), revoked->grants.end());
        } else if (std::get_if<core::SessionEnded>(&effect) != nullptr) {
            node.tokens.clear();
            node.draining.clear();
        } else if (const auto* late = std::get_if<core::DrainTimedOut>(&effect)) {
            for (const std::uint64_t grant : late->grants) node.draining.erase(grant);
        } else if (const auto* state = std::get_if<core::StateChanged>(&effect)) {
            node.states.push_back(state->to);
        } else if (const auto* alert = std::get_if<core::AlertChanged>(&effect)) {
            node.alerts.push_back(alert->level);
        } else if (std::get_if<core::RefreshPartitions>(&effect) != nullptr) {
            ++node.refreshes;
        } else if (const auto* note = std::get_if<core::Note>(&effect)) {
            node.notes.push_back(note->text);
        }
    }

    void arrive(std::size_t index, const core::Put& put) {
        const auto it = store_.find({put.bucket, put.key});
        const Revision last = it != store_.end() ? it->second.revision : 0;
        core::WriteAnswered answer{put.token, core::WriteResult::wrong_revision, last, {}};
        if (last == put.expected) {
            store(put.bucket, put.key, put.record);
            answer.result = core::WriteResult::done;
            answer.revision = sequence_[put.bucket];
        }
        if (let_answer && !let_answer(index, put)) return;
        later(latency, [this, index, answer] {
            if (!nodes_[index]->cut) feed(index, answer);
        });
    }

    Config config_;
    std::uint64_t seed_;
    std::shared_ptr<const PartitionSet> partitions_;
    std::vector<std::unique_ptr<Node>> nodes_;
    std::multimap<core::Instant, std::function<void()>> queue_;
    std::map<std::pair<Bucket, Key>, Entry> store_;
    std::map<Bucket, Revision> sequence_;
    core::Instant now_ = core::Instant{} + std::chrono::hours(1);
    std::size_t puts_ = 0;
    int same_instant_ = 0;
};

}  // namespace parti::test
