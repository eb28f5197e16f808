// Flow: what of one durable has been delivered and not settled, and up to where everything is settled.
//
// Role      The bound of what is fetched ahead, and the ack floor that a vanished durable is made again from.
// Model     A message is open from its delivery to its ack or term; a nak leaves it open (it comes again), but no longer in
//           flight. The floor is the sequence before the first open one. A message that was given back and is then removed from
//           the stream never comes again: with max_ack_pending 1 the next one shows that the server is past it (unless several
//           were open before it became 1), otherwise the server's floor does (passed()). Messages that a former owner had open
//           are inherited: the floor stays where the server had it until all of them have been settled.
//           A killed server may know less of the same durable afterwards than it had confirmed; nats-server 2.9.10 may know
//           nothing. What was acknowledged here is remembered, so that it is acknowledged again and not handled again
//           (max_ack_pending 1: all of it; more: the last ones, because others' messages may lie between). The stored time tells
//           a message from another one that a stream which lost its tail stores under the same number.
//           wake() is called when as much of the room has become free as the feeder said (half of it at first; of the bytes
//           always half), or at the next settlement when it said that it starves.
// Threads   Any; wake() on the thread that settled.
// Cost      24 bytes an open message.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace parti::consume {

class Flow {
public:
    struct Limits {
        std::uint32_t messages = 1;
        std::size_t bytes = 0;
    };
    struct Load {
        std::uint32_t messages = 0;
        std::size_t bytes = 0;
    };
    explicit Flow(std::function<void()> wake) : wake_(std::move(wake)) {}

    void one_at_a_time() { ordered_ = true; }  // max_ack_pending is 1; before anything else
    void set_limits(Limits limits);
    Limits limits() const;
    // What the server says when the durable was looked at; again after a reconnect. `same`: it is the durable that was looked at
    // before. A server that has delivered less than we know of has forgotten it; of another durable, what we knew is void.
    void begin(std::uint64_t ack_floor, std::uint64_t delivered, std::uint64_t ack_pending, bool same = false);
    void forget();  // another history: what was known is void
    void arrived(std::uint64_t sequence, std::size_t bytes, std::uint64_t time = 0);
    // done: acknowledged or terminated; else it comes again.
    void settled(std::uint64_t sequence, std::size_t bytes, bool done);
    // Acknowledged before, by us lately or (at or below the floor) by anybody. nats-server 2.9.10 delivers such a message again,
    // as if for the first time, after a nak or an expired ack_wait found no pull waiting.
    // `time`: when the stream stored it.
    bool done(std::uint64_t sequence, std::uint64_t time = 0) const;
    // The last one that we settled with nothing of ours open before it: a server that has taken in our acks has its floor there.
    // 0: nothing to say, also while a former owner's messages are open.
    std::uint64_t settled_to() const;
    // So many are settled behind one that was given back that the server's floor is worth a look.
    bool held_up() const;
    void passed(std::uint64_t ack_floor);  // the server's, of the same durable
    // What a server says that has delivered up to there is no older than the last delivery that we know of.
    bool as_new(std::uint64_t delivered) const;
    void remember_acks() { remembers_ = true; }  // before anything else
    void acked(const char* reply);               // sent
    std::string last_ack() const;                // its reply subject; empty: none
    void starve();                               // nothing is asked for, because there is no room
    // Settled since settled_count() was `since`, which was asked before load().
    void wake_after(std::uint32_t messages, std::uint64_t since);
    std::uint64_t settled_count() const;  // so far
    Load load() const;
    std::uint64_t floor() const;

private:
    struct Stored {
        std::uint64_t sequence = 0;
        std::uint64_t time = 0;
    };
    struct Open : Stored {
        bool done = false;
        std::uint32_t in_hand = 1;  // copies that were not given back
    };
    void done_with(std::uint64_t sequence);
    void pop_done();
    void drop_to(std::uint64_t sequence);
    void remember(const Stored& message);
    bool over(const Stored& message) const;
    std::uint64_t own_floor() const;
    std::size_t recent_max() const { return ordered_ ? 8 : 256; }
    std::deque<Open>::const_iterator find(std::uint64_t sequence) const;
    std::deque<Open>::iterator find(std::uint64_t sequence);

    const std::function<void()> wake_;
    mutable std::mutex mutex_;
    Limits limits_;
    Load load_;
    Load freed_;                    // since the last wake
    std::uint32_t wake_after_ = 0;  // 0: half of the room
    std::uint64_t settled_count_ = 0;
    bool starves_ = false;
    bool ordered_ = false;
    bool remembers_ = false;
    std::string last_ack_;
    std::deque<Open> open_;       // ascending; the first one is not done
    std::vector<Stored> recent_;  // acknowledged last: a ring
    std::size_t recent_next_ = 0;
    std::uint64_t recent_to_ = 0;  // the highest number that was ever in it
    std::uint64_t floor_ = 0;      // the server's word
    std::uint64_t highest_ = 0;
    std::uint64_t done_time_ = 0;  // of the latest message in recent_, ever
    Stored forgotten_{};           // by the server; all up to here were acknowledged
    std::uint64_t inherited_to_ = 0;
    std::uint64_t inherited_ = 0;  // open ones at or below inherited_to_ when the durable was looked at
    std::set<std::uint64_t> inherited_done_;
    std::uint64_t several_to_ = 0;  // up to here the server may have several open, whatever max_ack_pending is now
};

}  // namespace parti::consume
