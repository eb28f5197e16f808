// HubQueue: what a hub has yet to tell its members, and what comes first.
//
// Role      The hub's (hub.cpp) list of undelivered events. Decides the order of telling; knows neither interests nor watches.
// Model     Two lanes. Answers to a member's own requests go first: an answer is one event that its writer waits for, while an
//           entry goes to every member that watches its key, and a process with 1,000 claiming workers owes 1,000 events for each
//           of 1,000 claims. Nothing may rely on an answer coming after an entry: they come to the process on separate ways, in
//           any order. News (everything else) keeps its order. One that goes to many members is kept once, with the members that
//           it is for. What has become void while it waited is passed over: a newer value of the key follows, or the member wants
//           it no more.
// Threads   The hub's.
// Cost      One entry of the list per news, 8 bytes per member that it is for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

#include "core/io.h"

namespace parti::runtime {

class HubQueue {
public:
    using MemberId = std::uint64_t;

    void push(MemberId member, core::Event event) {
        ++size_;
        if (std::holds_alternative<core::WriteAnswered>(event) || std::holds_alternative<core::FetchAnswered>(event)) {
            answers_.push_back({{member}, 0, std::move(event)});
        } else {
            news_.push_back({{member}, 0, std::move(event)});
        }
    }
    void push(std::vector<MemberId> members, core::EntrySeen seen) {
        if (members.empty()) return;
        size_ += members.size();
        news_.push_back({std::move(members), 0, std::move(seen)});
    }

    struct Popped {
        MemberId member = 0;
        std::optional<core::Event> event;  // nothing: the queue is empty, or so much was passed over that the turn is to end
        std::size_t passed_over = 0;
    };
    // The next event that is not void(member, event).
    template <class Void>
    Popped pop(const Void& is_void) {
        Popped popped;
        while (size_ > 0 && popped.passed_over < kPassedOverMax) {
            const bool answer = !answers_.empty();
            News& front = answer ? answers_.front() : news_.front();
            popped.member = front.members[front.next++];
            --size_;
            const bool last = front.next == front.members.size();
            if (is_void(popped.member, front.event)) {
                ++popped.passed_over;
            } else if (last) {
                popped.event = std::move(front.event);
            } else {
                popped.event = front.event;
            }
            if (last) (answer ? answers_ : news_).pop_front();
            if (popped.event) break;
        }
        return popped;
    }

    bool empty() const { return size_ == 0; }
    std::size_t size() const { return size_; }  // events

private:
    struct News {
        std::vector<MemberId> members;
        std::size_t next;
        core::Event event;
    };

    static constexpr std::size_t kPassedOverMax = 16'384;

    std::deque<News> answers_;
    std::deque<News> news_;
    std::size_t size_ = 0;
};

}  // namespace parti::runtime
