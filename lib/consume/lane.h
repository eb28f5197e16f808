// Lane: one owned partition's messages, from their delivery to their settlement.
//
// Model     A queue in order of delivery; one handler at a time takes the first. Closed: no handler begins any more. Held:
//           messages whose handler has begun and that are not settled (running, manual, on their way to the dead-letter subject).
//           Two rights are asked, each time anew: Ownership::valid() before a handler begins (false from the revoke on), and
//           exclusive() before a nak, term or in-progress is sent (true until the release: a partition that drains is still
//           nobody else's).
// Threads   take on nats.c's delivery thread or on the io thread, never both at once, as push; close, give_back, renew and
//           set_released on the io thread; run on a callback thread, one at a time; settle from any.
// Lifetime  A delivery keeps its lane; the lane keeps those that wait.
// Cost      About 200 bytes; a delivery about 150 besides nats.c's message.
// Source    P-9, P-10, R-7.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include <parti/consumer.h>

#include "consume/flow.h"
#include "jetstream/handover.h"
#include "jetstream/json.h"
#include "jetstream/outlet.h"
#include "runtime/boot_clock.h"
#include "runtime/ownership.h"

namespace parti::consume {

class Lane;

struct Counters {
    std::atomic<std::uint64_t> pulled{0}, handled{0}, failed{0}, acked{0}, redelivered{0}, given_back{0}, left{0},
        dead_lettered{0}, recreations{0}, pulls_lost{0}, acks_lost{0}, repeated{0};
};

// What all lanes of a consumer share. Immutable but for the counters; functions may be called from any thread.
struct Shop {
    ConsumerConfig config;
    Handler handler;
    std::shared_ptr<jetstream::Outlet> outlet;
    std::shared_ptr<Counters> counters = std::make_shared<Counters>();
    std::function<void(std::shared_ptr<Lane>)> ready;  // has messages and nobody runs it
    std::function<void(std::uint64_t grant)> idle;     // closed, and nothing is held any more
    std::function<void(Error)> report;
    std::function<void(std::shared_ptr<Delivery>, std::string reason)> dead_letter;
    std::function<Result<void>(const std::string& subject, Duration timeout)> confirm;  // double ack; blocks
};

struct Delivery {
    enum class State : std::uint8_t { open, settled };
    ~Delivery();

    jetstream::Message raw;
    std::shared_ptr<Lane> lane;
    std::uint64_t sequence = 0;
    std::uint64_t delivered = 0;
    std::uint64_t time_ns = 0;
    std::size_t bytes = 0;
    bool begun = false;  // counts as held; guarded by the lane
    bool kept = false;   // beyond its handler's return; guarded by the lane
    core::Instant arrived;
    core::Instant renewed;  // guarded by the lane
    std::atomic<State> state{State::open};
    std::shared_ptr<Delivery> next;  // in the lane's queue

    const char* reply() const;
    // Every one settles, or says that it was settled before.
    Result<void> ack(std::optional<Duration> confirmed);
    Result<void> nak(Duration delay);
    Result<void> term();
    Result<void> in_progress();
    void abandon();  // without an answer: it comes again

private:
    bool take();  // true: this call settles it
    void settle(bool done);
    Result<void> send(const char* body, bool needs_exclusive);
};

class Lane : public std::enable_shared_from_this<Lane> {
public:
    Lane(std::uint64_t grant, std::shared_ptr<runtime::OwnershipState> state, std::shared_ptr<Flow> flow,
         std::shared_ptr<Shop> shop);

    // A message that the durable delivers is counted and queued. False: it was settled before (settle_again) or is no delivery;
    // not counted.
    bool take(jetstream::Message& message);
    std::shared_ptr<Delivery> admit(jetstream::Message message);  // counted; null: no delivery
    void push(std::shared_ptr<Delivery> delivery);
    void close();
    bool busy() const;     // something is held
    bool in_hand() const;  // something is held or waits
    // Held while an ack is sent and counted. Whoever holds it and sees a message in hand knows that its ack goes out later: with
    // max_ack_pending 1 nothing else is on its way.
    std::mutex& gate() { return gate_; }
    bool waiting() const;  // messages that have not begun
    // A message that was settled before and that the server sends again: acknowledged again. False: it is to be handled. The ack
    // of what was handled is always right, also when the partition is no longer ours.
    bool settle_again(Delivery& delivery);
    void give_back();  // what waits: nak'ed in order while exclusive, else dropped
    void pause();      // no handler begins, and what waits is dropped: its durable goes
    void resume();
    void renew(core::Instant now);
    void set_released() { released_.store(true, std::memory_order_release); }
    // At most `most` messages; true: more are waiting (call again).
    bool run(std::uint32_t most);

    bool exclusive() const;
    // Messages that the durable has not delivered yet, as its last delivery said.
    std::uint64_t pending() const { return pending_.load(std::memory_order_relaxed); }
    void set_pending(std::uint64_t pending) { pending_.store(pending, std::memory_order_relaxed); }
    core::Instant oldest(core::Instant otherwise) const;  // arrival of the oldest that waits or is held
    bool running_since(core::Instant before) const;
    const Ownership& ownership() const { return ownership_; }
    std::uint64_t grant() const { return grant_; }
    Flow& flow() { return *flow_; }
    const std::shared_ptr<Shop>& shop() const { return shop_; }
    void settled(Delivery& delivery, bool done);  // by Delivery

private:
    std::shared_ptr<Delivery> take_waiting();
    std::shared_ptr<Delivery> admit(jetstream::Message message, const jetstream::Delivery& info);
    std::shared_ptr<Delivery> begin_next(const std::shared_ptr<Delivery>& before);
    void returned(Delivery& delivery);
    void call(const std::shared_ptr<Delivery>& delivery);
    void failed(const std::shared_ptr<Delivery>& delivery, const std::string& why);

    const std::uint64_t grant_;
    const std::shared_ptr<runtime::OwnershipState> state_;
    const Ownership ownership_;
    const std::shared_ptr<Flow> flow_;
    const std::shared_ptr<Shop> shop_;
    std::atomic<bool> released_{false};
    std::atomic<std::uint64_t> pending_{0};
    std::mutex gate_;  // before mutex_

    mutable std::mutex mutex_;
    std::shared_ptr<Delivery> first_;
    Delivery* last_ = nullptr;
    std::shared_ptr<Delivery> running_;
    core::Instant running_since_;
    std::uint32_t held_ = 0;
    std::multiset<core::Instant> kept_;  // arrivals of those held whose handler has returned
    bool scheduled_ = false;
    bool closed_ = false;
    bool paused_ = false;
};

}  // namespace parti::consume
