// Handover: brings messages from nats.c's delivery thread to the io thread through a queue bounded in messages and bytes.
//
// Model     push() waits while the queue is full; close() releases it. One posted handler at a time takes a slice of the queue
//           and posts itself again, so that timers and other handlers run in between.
// Threads   push() from nats.c's threads; everything else, the sink included, on the io thread.
// Lifetime  Shared: the subscriptions' closures hold it until nats.c says that the last callback is over, so a late message is
//           safe.
// Cost      One pointer per waiting message; the message itself is nats.c's and is not copied.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

struct __natsMsg;
namespace boost::asio {
class io_context;
}

namespace parti::jetstream {

struct MessageDeleter {
    void operator()(__natsMsg* message) const;
};
using Message = std::unique_ptr<__natsMsg, MessageDeleter>;

class Handover : public std::enable_shared_from_this<Handover> {
public:
    // `source` says which subscription brought it.
    struct Item {
        Message message;
        std::uint64_t source = 0;
    };
    using Sink = std::function<void(Item)>;
    Handover(boost::asio::io_context& io, std::size_t messages_max, std::size_t bytes_max, Sink sink);

    void push(Item item);
    // Takes everything that is there now.
    void drain();
    // Nothing is delivered afterwards; waiting pushes return.
    void close();
    std::uint64_t waits() const;

private:
    bool full() const { return queue_.size() >= messages_max_ || (bytes_ >= bytes_max_ && !queue_.empty()); }
    void schedule();
    std::size_t take_slice();

    boost::asio::io_context& io_;
    const std::size_t messages_max_;
    const std::size_t bytes_max_;
    Sink sink_;

    mutable std::mutex mutex_;
    std::condition_variable space_;
    std::deque<Item> queue_;
    std::size_t bytes_ = 0;
    std::uint64_t waits_ = 0;
    bool scheduled_ = false;
    bool closed_ = false;
};

}  // namespace parti::jetstream
