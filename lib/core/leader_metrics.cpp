#include "core/leader_metrics.h"

#include <algorithm>
#include <iterator>

namespace parti::core {

void LeaderMetrics::compare(Env& env, Present now) {
    if (present_ && *present_ != now) {
        Present both;
        std::set_intersection(present_->begin(), present_->end(), now.begin(), now.end(), std::back_inserter(both));
        env.stats.workers_joined += now.size() - both.size();
        env.stats.workers_lost += present_->size() - both.size();
    }
    present_ = std::move(now);
}

void LeaderMetrics::look(Env& env, const std::vector<Member>& members, std::uint64_t partitions, std::uint64_t orphaned,
                         bool busy) {
    WorkerStats& stats = env.stats;
    stats.partitions = partitions;
    stats.orphaned = orphaned;
    stats.active_workers = static_cast<std::uint32_t>(members.size());
    Present now;
    now.reserve(members.size());
    for (const Member& member : members) now.emplace_back(member.number, member.incarnation);
    compare(env, std::move(now));
    if (busy && !busy_since_) busy_since_ = env.now;
    if (busy || !busy_since_) return;
    const Duration took = env.now - *busy_since_;
    busy_since_.reset();
    ++stats.rebalances;
    stats.rebalance_time += took;
    stats.rebalance_time_last = took;
}

}  // namespace parti::core
