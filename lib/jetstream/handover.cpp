#include "jetstream/handover.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nats/nats.h>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace parti::jetstream {
namespace {

constexpr std::size_t kSlice = 256;
constexpr std::size_t kUsual = 32;             // messages; the index of a queue that was longer is given back
constexpr std::size_t kMessageOverhead = 256;  // nats.c's own allocation per message, about

std::size_t cost_of(__natsMsg* message) {
    return static_cast<std::size_t>(std::max(0, natsMsg_GetDataLength(message))) + kMessageOverhead;
}

}  // namespace

void MessageDeleter::operator()(__natsMsg* message) const { natsMsg_Destroy(message); }

Handover::Handover(boost::asio::io_context& io, std::size_t messages_max, std::size_t bytes_max, Sink sink)
    : io_(io), messages_max_(std::max<std::size_t>(messages_max, 1)), bytes_max_(bytes_max), sink_(std::move(sink)) {}

void Handover::push(Item item) {
    std::unique_lock lock(mutex_);
    if (full() && !closed_) {
        ++waits_;
        space_.wait(lock, [this] { return closed_ || !full(); });
    }
    if (closed_) return;
    bytes_ += cost_of(item.message.get());
    queue_.push_back(std::move(item));
    if (!std::exchange(scheduled_, true)) schedule();
}

void Handover::schedule() {
    boost::asio::post(io_, [self = shared_from_this()] {
        const std::size_t left = self->take_slice();
        const std::lock_guard lock(self->mutex_);
        self->scheduled_ = !self->closed_ && (left > 0 || !self->queue_.empty());
        if (self->scheduled_) self->schedule();
    });
}

std::size_t Handover::take_slice() {
    std::array<Item, kSlice> slice;
    std::size_t taken = 0;
    std::size_t left = 0;
    {
        const std::lock_guard lock(mutex_);
        const bool was_full = full();
        while (taken < kSlice && !queue_.empty()) {
            slice[taken] = std::move(queue_.front());
            bytes_ -= cost_of(slice[taken].message.get());
            queue_.pop_front();
            ++taken;
        }
        left = queue_.size();
        if (left == 0 && taken > kUsual) std::deque<Item>().swap(queue_);
        if (was_full) space_.notify_all();
    }
    for (std::size_t i = 0; i < taken; ++i) {
        if (sink_) sink_(std::move(slice[i]));
    }
    return left;
}

void Handover::drain() {
    while (take_slice() > 0) {
    }
}

void Handover::close() {
    std::deque<Item> dropped;
    const std::lock_guard lock(mutex_);
    closed_ = true;
    dropped.swap(queue_);
    bytes_ = 0;
    space_.notify_all();
}

std::uint64_t Handover::waits() const {
    const std::lock_guard lock(mutex_);
    return waits_;
}

}  // namespace parti::jetstream
