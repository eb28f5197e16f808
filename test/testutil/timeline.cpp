#include <algorithm>

#include "testutil/history.h"

namespace parti::test {

std::map<std::string, const OwnershipInterval*> Timeline::owners_at(std::int64_t t_ns) const {
    std::map<std::string, const OwnershipInterval*> owners;
    for (const auto& [partition, intervals] : partitions) {
        for (const OwnershipInterval& o : intervals) {
            if (o.begin_ns <= t_ns && t_ns < o.end_ns) owners[partition] = &o;
        }
    }
    return owners;
}

std::size_t Timeline::grants_between(std::int64_t from_ns, std::int64_t to_ns) const {
    std::size_t grants = 0;
    for (const auto& entry : partitions) {
        for (const OwnershipInterval& o : entry.second) grants += o.begin_ns > from_ns && o.begin_ns <= to_ns ? 1U : 0U;
    }
    return grants;
}

std::optional<std::int64_t> Timeline::last_grant_between(std::int64_t from_ns, std::int64_t to_ns) const {
    std::optional<std::int64_t> last;
    for (const auto& entry : partitions) {
        for (const OwnershipInterval& o : entry.second) {
            if (o.begin_ns > from_ns && o.begin_ns <= to_ns && (!last || o.begin_ns > *last)) last = o.begin_ns;
        }
    }
    return last;
}

Timeline::Succession Timeline::succession(std::size_t process, std::int64_t t_ns) const {
    Succession result;
    bool complete = true;
    for (const auto& entry : partitions) {
        const auto& intervals = entry.second;
        const auto held = std::find_if(intervals.begin(), intervals.end(), [process, t_ns](const OwnershipInterval& o) {
            return o.process == process && o.begin_ns <= t_ns && t_ns < o.end_ns;
        });
        if (held == intervals.end()) continue;
        ++result.partitions;
        const auto next = std::next(held);
        if (next == intervals.end()) {
            complete = false;
        } else {
            result.all_owned_ns = std::max(result.all_owned_ns.value_or(next->begin_ns), next->begin_ns);
        }
    }
    if (!complete) result.all_owned_ns.reset();
    return result;
}

std::int64_t Timeline::longest_gap_ns(std::int64_t from_ns, std::int64_t to_ns) const {
    std::int64_t longest = 0;
    for (const auto& entry : partitions) {
        const auto& intervals = entry.second;
        for (std::size_t i = 1; i < intervals.size(); ++i) {
            const std::int64_t begin = intervals[i - 1].end_ns;
            const std::int64_t end = intervals[i].begin_ns;
            if (begin > from_ns && end <= to_ns) longest = std::max(longest, end - begin);
        }
    }
    return longest;
}

}  // namespace parti::test
