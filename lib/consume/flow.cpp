#include "consume/flow.h"

#include <algorithm>

namespace parti::consume {

void Flow::set_limits(Limits limits) {
    const std::lock_guard lock(mutex_);
    limits_ = limits;
}

Flow::Limits Flow::limits() const {
    const std::lock_guard lock(mutex_);
    return limits_;
}

void Flow::begin(std::uint64_t ack_floor, std::uint64_t delivered, std::uint64_t ack_pending, bool same) {
    const std::lock_guard lock(mutex_);
    if (delivered < highest_ || delivered < floor_) {
        if (!same) {
            open_.clear();
            recent_.clear();
            recent_to_ = several_to_ = 0;
            forgotten_ = {};
        } else if (ordered_) {
            forgotten_ = {std::max(forgotten_.sequence, own_floor()), done_time_};
        }
        for (const Open& message : open_) {
            if (message.done) remember(message);
        }
        open_.erase(std::remove_if(open_.begin(), open_.end(), [](const Open& o) { return o.done; }), open_.end());
        floor_ = highest_ = 0;
    }
    floor_ = std::max(floor_, ack_floor);
    drop_to(ack_floor);
    if (ack_pending == 0) highest_ = std::max(highest_, delivered);
    inherited_ = ack_pending;
    inherited_to_ = delivered;
    several_to_ = ack_pending > 1 ? std::max(several_to_, delivered) : several_to_;
    inherited_done_.clear();
}

void Flow::forget() {
    const std::lock_guard lock(mutex_);
    open_.clear();
    recent_.clear();
    last_ack_.clear();
    floor_ = highest_ = inherited_ = inherited_to_ = done_time_ = recent_to_ = several_to_ = 0;
    forgotten_ = {};
    inherited_done_.clear();
}

std::deque<Flow::Open>::const_iterator Flow::find(std::uint64_t sequence) const {
    return const_cast<Flow*>(this)->find(sequence);
}

std::deque<Flow::Open>::iterator Flow::find(std::uint64_t sequence) {
    return std::lower_bound(open_.begin(), open_.end(), sequence, [](const Open& o, std::uint64_t s) { return o.sequence < s; });
}

void Flow::arrived(std::uint64_t sequence, std::size_t bytes, std::uint64_t time) {
    const std::lock_guard lock(mutex_);
    load_.messages += 1;
    load_.bytes += bytes;
    if (over({sequence, time})) return;
    if (open_.empty() || open_.back().sequence < sequence) {
        if (ordered_) {  // the server is past what was given back
            std::erase_if(open_, [this](const Open& o) { return !o.done && o.in_hand == 0 && o.sequence > several_to_; });
            pop_done();
        }
        open_.push_back({{sequence, time}});
        highest_ = std::max(highest_, sequence);
        return;
    }
    const auto at = find(sequence);
    if (at == open_.end() || at->sequence != sequence) open_.insert(at, {{sequence, time}});
    else ++at->in_hand;
}

void Flow::settled(std::uint64_t sequence, std::size_t bytes, bool done) {
    bool wake = false;
    {
        const std::lock_guard lock(mutex_);
        load_.messages -= std::min<std::uint32_t>(1, load_.messages);
        load_.bytes -= std::min(bytes, load_.bytes);
        if (done) done_with(sequence);
        else if (const auto at = find(sequence); at != open_.end() && at->sequence == sequence && at->in_hand > 0) --at->in_hand;
        settled_count_ += 1;
        freed_.messages += 1;
        freed_.bytes += bytes;
        const std::uint32_t enough = wake_after_ > 0 ? std::min(wake_after_, limits_.messages) : limits_.messages / 2;
        wake = starves_ || freed_.messages >= std::max(1U, enough) || (limits_.bytes > 0 && freed_.bytes >= limits_.bytes / 2);
        if (wake) {
            freed_ = {};
            starves_ = false;
        }
    }
    if (wake) wake_();
}

void Flow::done_with(std::uint64_t sequence) {
    if (const auto at = find(sequence); at != open_.end() && at->sequence == sequence) at->done = true;
    pop_done();
    if (inherited_ == 0 || sequence <= floor_) return;
    if (ordered_ && several_to_ == 0) {
        inherited_ = 0;  // nothing else is delivered before it, whatever number a server that has lost its place says
    } else {
        if (sequence > inherited_to_ || !inherited_done_.insert(sequence).second) return;
        inherited_ -= 1;
    }
    if (inherited_ > 0) return;
    inherited_done_.clear();
    highest_ = std::max(highest_, inherited_to_);
}

void Flow::pop_done() {
    while (!open_.empty() && open_.front().done) {
        remember(open_.front());
        open_.pop_front();
    }
}

// The server has all of them behind it, whatever we know.
void Flow::drop_to(std::uint64_t sequence) {
    while (!open_.empty() && open_.front().sequence <= sequence) {
        if (open_.front().done) remember(open_.front());
        open_.pop_front();
    }
    pop_done();
}

bool Flow::held_up() const {
    const std::lock_guard lock(mutex_);
    return !open_.empty() && open_.front().in_hand == 0 && open_.size() > 64 + 2 * std::size_t{limits_.messages};
}

void Flow::passed(std::uint64_t ack_floor) {
    const std::lock_guard lock(mutex_);
    if (ack_floor > highest_) return;  // of another history
    drop_to(ack_floor);
}

bool Flow::as_new(std::uint64_t delivered) const {
    const std::lock_guard lock(mutex_);
    return delivered >= highest_;
}

void Flow::remember(const Stored& message) {
    if (recent_.size() < recent_max()) {
        recent_.push_back(message);
    } else {
        recent_[recent_next_++ % recent_.size()] = message;
    }
    done_time_ = std::max(done_time_, message.time);
    recent_to_ = std::max(recent_to_, message.sequence);
}

void Flow::acked(const char* reply) {
    if (!remembers_) return;
    const std::lock_guard lock(mutex_);
    last_ack_ = reply;
}

std::string Flow::last_ack() const {
    const std::lock_guard lock(mutex_);
    return last_ack_;
}

void Flow::starve() {
    const std::lock_guard lock(mutex_);
    starves_ = true;
}

void Flow::wake_after(std::uint32_t messages, std::uint64_t since) {
    const std::lock_guard lock(mutex_);
    wake_after_ = messages;
    freed_.messages = static_cast<std::uint32_t>(settled_count_ - since);
}

std::uint64_t Flow::settled_count() const {
    const std::lock_guard lock(mutex_);
    return settled_count_;
}

Flow::Load Flow::load() const {
    const std::lock_guard lock(mutex_);
    return load_;
}

bool Flow::done(std::uint64_t sequence, std::uint64_t time) const {
    const std::lock_guard lock(mutex_);
    if (over({sequence, time})) return true;
    const auto at = find(sequence);
    return at != open_.end() && at->sequence == sequence && at->time == time && at->done;
}

bool Flow::over(const Stored& message) const {
    if (message.sequence <= floor_ || (message.sequence <= forgotten_.sequence && message.time <= forgotten_.time)) return true;
    if (message.sequence > recent_to_) return false;  // as most are
    return std::any_of(recent_.begin(), recent_.end(),
                       [&](const Stored& r) { return r.sequence == message.sequence && r.time == message.time; });
}

std::uint64_t Flow::settled_to() const {
    const std::lock_guard lock(mutex_);
    return inherited_ > 0 ? 0 : recent_to_;
}

std::uint64_t Flow::floor() const {
    const std::lock_guard lock(mutex_);
    return own_floor();
}

std::uint64_t Flow::own_floor() const {
    if (inherited_ > 0) return floor_;
    if (open_.empty()) return std::max(floor_, highest_);
    return std::max(floor_, open_.front().sequence - 1);
}

}  // namespace parti::consume
