// Ranking: workers by overload, one heap per zone; among equals the zone whose own overload says so comes first.
//
// Model     A worker's entry counts as long as it names the worker's present overload; older ones are dropped when they come up.
//           Order::before(a, b): does overload a come before b? Equal overloads: the zone's overload in the same order, then the
//           lower zone, then the lower worker. Whoever changes an overload calls touch() for its zone afterwards.
// Cost      O(log W) per push and touch; with a single zone it is a heap and nothing else.
#pragma once

#include <cstdint>
#include <optional>
#include <queue>
#include <set>
#include <vector>

#include "assign/options.h"

namespace parti::assign {

struct LeastFirst {
    static bool before(Wide a, Wide b) { return a < b; }
};
struct MostFirst {
    static bool before(Wide a, Wide b) { return a > b; }
};

struct Rank {
    Wide overload = 0;
    std::int32_t worker = 0;
};

template <class Order>
class Ranking {
public:
    // `overload_of(worker)`: the present one.
    explicit Ranking(std::size_t zones) : heaps_(zones), listed_(zones) {}

    void push(std::size_t zone, Rank rank) { heaps_[zone].push(rank); }

    template <class OverloadOf>
    void touch(std::size_t zone, Wide zone_overload, const OverloadOf& overload_of) {
        if (heaps_.size() == 1) return;
        if (listed_[zone]) order_.erase(*listed_[zone]);
        listed_[zone].reset();
        const std::optional<Rank> first = top_of(zone, overload_of);
        if (!first) return;
        listed_[zone] = Entry{first->overload, zone_overload, zone};
        order_.insert(*listed_[zone]);
    }
    template <class OverloadOf>
    std::optional<Rank> top_of(std::size_t zone, const OverloadOf& overload_of) {
        auto& heap = heaps_[zone];
        while (!heap.empty() && overload_of(heap.top().worker) != heap.top().overload) heap.pop();
        return heap.empty() ? std::nullopt : std::optional(heap.top());
    }
    template <class OverloadOf>
    std::optional<Rank> top(const OverloadOf& overload_of) {
        if (heaps_.size() == 1) return top_of(0, overload_of);
        return order_.empty() ? std::nullopt : top_of(order_.begin()->zone, overload_of);
    }
    // Requires: it is its zone's first. The zone must be touched afterwards.
    void pop(std::size_t zone) { heaps_[zone].pop(); }

private:
    struct After {  // a heap's top is its greatest
        bool operator()(const Rank& a, const Rank& b) const {
            return a.overload != b.overload ? Order::before(b.overload, a.overload) : a.worker > b.worker;
        }
    };
    struct Entry {
        Wide overload;
        Wide zone_overload;
        std::size_t zone;
        bool operator<(const Entry& other) const {
            if (overload != other.overload) return Order::before(overload, other.overload);
            if (zone_overload != other.zone_overload) return Order::before(zone_overload, other.zone_overload);
            return zone < other.zone;
        }
    };

    std::vector<std::priority_queue<Rank, std::vector<Rank>, After>> heaps_;
    std::vector<std::optional<Entry>> listed_;
    std::set<Entry> order_;
};

}  // namespace parti::assign
