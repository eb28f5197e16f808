#include "fleet.h"

#include <algorithm>
#include <thread>
#include <utility>

#include "runtime/observer.h"
#include "say.h"

namespace parti::host {

namespace {

constexpr std::chrono::milliseconds kCycleLimit{30'000};
constexpr std::chrono::milliseconds kSettleLimit{10'000};

}  // namespace

Fleet::Fleet(Context context, const Options& options, std::shared_ptr<StaticSource> source, std::shared_ptr<HandledLog> handled)
    : context_(std::move(context)), options_(options), source_(std::move(source)), partitions_(options.partitions),
      handled_(std::move(handled)), slots_(options.workers) {}

Fleet::~Fleet() {
    if (!order_.empty()) static_cast<void>(stop(std::nullopt));
}

void Fleet::delay() const {
    // The delay is what --callback-delay asks for.
    if (options_.callback_delay.count() > 0) std::this_thread::sleep_for(options_.callback_delay);
}

Callbacks Fleet::callbacks_of(std::size_t index) {
    Callbacks c;
    c.on_assigned = [this, index](std::span<const Ownership> gained) {
        delay();
        slot(index).owned += static_cast<std::int64_t>(gained.size());
        look_for_milestones();
    };
    c.on_revoked = [this, index](std::span<const Ownership> lost, const RevokeDone& done) {
        delay();
        slot(index).owned -= static_cast<std::int64_t>(lost.size());
        done();
        look_for_milestones();  // the set of partitions may have become smaller
    };
    c.on_state = [this, index](State from, State to) {
        const std::int64_t t = now_ns();
        Slot& s = slot(index);
        s.state = to;
        Line("state")
            .add("worker", std::uint64_t{index})
            .add("id", s.running ? s.worker->id() : std::string())
            .add("from", to_string(from))
            .add("to", to_string(to))
            .add("t_ns", t)
            .say();
        look_for_milestones();
    };
    c.on_leader = [index](bool leader) {
        Line("leader").add("worker", std::uint64_t{index}).add("leader", leader).add("t_ns", now_ns()).say();
    };
    c.on_alert = [index](AlertLevel level, Duration) {
        Line("alert").add("worker", std::uint64_t{index}).add("level", to_string(level)).add("t_ns", now_ns()).say();
    };
    c.on_error = [index](const Error& error) {
        Line("error").add("worker", std::uint64_t{index}).add("error", error.message()).add("t_ns", now_ns()).say();
    };
    return c;
}

Result<void> Fleet::start_one(std::size_t index) {
    auto made = Worker::make(context_, options_.config, source_, options_.strategy, callbacks_of(index));
    if (!made) return tl::unexpected(made.error());
    Slot& s = slot(index);
    s.state = State::init;
    s.owned = 0;
    {
        const std::lock_guard lock(slots_mutex_);
        s.worker.emplace(std::move(*made));
    }
    if (handled_) {
        auto consumer = Consumer::make(*s.worker, options_.consume.config, handler_of(options_.consume, handled_));
        if (!consumer) return tl::unexpected(consumer.error());
        s.consumer.emplace(std::move(*consumer));
        if (auto ok = s.consumer->start(); !ok) return ok;
    }
    if (options_.inject_leak > 0) leaked_.add(options_.inject_leak);
    s.running = true;
    order_.push_back(index);
    return {};
}

Result<void> Fleet::start(std::optional<std::size_t> count) {
    std::vector<std::size_t> chosen;
    for (std::size_t i = 0; i < slots_.size() && (!count || chosen.size() < *count); ++i) {
        if (!slots_[i].running) chosen.push_back(i);
    }
    if (count && chosen.size() < *count) {
        return fail(Errc::invalid_argument, "start " + std::to_string(*count) + ": only " + std::to_string(chosen.size()) +
                                                " of " + std::to_string(slots_.size()) + " workers do not run");
    }
    for (const std::size_t index : chosen) {
        if (auto ok = start_one(index); !ok) return ok;
    }
    expect_milestones();
    for (const std::size_t index : chosen) slots_[index].worker->start();
    return {};
}

Result<void> Fleet::stop(std::optional<std::size_t> count) {
    if (count && *count > order_.size()) {
        return fail(Errc::invalid_argument,
                    "stop " + std::to_string(*count) + ": only " + std::to_string(order_.size()) + " workers run");
    }
    const std::size_t n = count.value_or(order_.size());
    stop_these({order_.rbegin(), order_.rbegin() + static_cast<std::ptrdiff_t>(n)});
    return {};
}

Result<void> Fleet::stop_worker(std::size_t index) {
    if (std::find(order_.begin(), order_.end(), index) == order_.end()) {
        return fail(Errc::invalid_argument, "stop_worker " + std::to_string(index) + ": no such worker runs");
    }
    stop_these({index});
    return {};
}

void Fleet::stop_these(const std::vector<std::size_t>& indexes) {
    const std::int64_t begin = now_ns();
    for (const std::size_t index : indexes) slots_[index].worker->request_stop();
    std::string list;
    for (const std::size_t index : indexes) {
        Slot& s = slots_[index];
        if (auto ok = s.worker->stop(); !ok) {
            Line("error")
                .add("worker", std::uint64_t{index})
                .add("error", "stop: " + ok.error().message())
                .add("t_ns", now_ns())
                .say();
        }
        const std::lock_guard lock(slots_mutex_);
        s.running = false;
        s.consumer.reset();  // after the worker: leaving must end the pulls by itself
        s.worker.reset();
        s.owned = 0;
        std::erase(order_, index);
        list += (list.empty() ? "" : ",") + std::to_string(index);
    }
    Line("stopped")
        .raw("workers", "[" + list + "]")
        .add("ms", static_cast<double>(now_ns() - begin) / 1e6)
        .add("t_ns", now_ns())
        .say();
}

void Fleet::expect_milestones() {
    const std::lock_guard lock(milestones_mutex_);
    milestones_ = {now_ns(), false, false, false, milestones_.changing_since_ns};
}

void Fleet::look_for_milestones() {
    const std::int64_t t = now_ns();
    const std::lock_guard lock(milestones_mutex_);
    Milestones& m = milestones_;
    if (m.stable && m.covered && m.balanced && m.changing_since_ns == 0) return;
    std::uint64_t running = 0;
    std::int64_t total = 0;
    std::int64_t least = INT64_MAX;
    std::int64_t most = 0;
    bool stable = true;
    for (const Slot& s : slots_) {
        if (!s.running) continue;
        ++running;
        stable = stable && s.state == State::stable;
        const std::int64_t owned = s.owned;
        total += owned;
        least = std::min(least, owned);
        most = std::max(most, owned);
    }
    const auto said = [&](const char* event) {
        Line(event).add("workers", running).add("ms", static_cast<double>(t - m.since_ns) / 1e6).add("t_ns", t).say();
        return true;
    };
    if (!m.stable && stable) {
        if (options_.inject_memory > 0 && !ballast_taken_) {
            ballast_taken_ = true;
            Line("injected").add("bytes", ballast_.take(options_.inject_memory).value_or(0)).say();
        }
        m.stable = said("all_stable");
    }
    const bool covered = stable && total == static_cast<std::int64_t>(options_.partitions);
    if (!m.covered && covered) {
        m.covered = said("covered");
        milestone_said_.notify_all();
    }
    if (m.changing_since_ns != 0 && stable && total == static_cast<std::int64_t>(partitions_)) {
        Line("changed")
            .add("workers", running)
            .add("ms", static_cast<double>(t - m.changing_since_ns) / 1e6)
            .add("t_ns", t)
            .say();
        m.changing_since_ns = 0;
    }
    if (!m.balanced && covered && most - least <= 1) m.balanced = said("balanced");
}

Result<void> Fleet::set_partitions(std::size_t count) {
    if (count > kPartitionsMax) return fail(Errc::invalid_argument, "partitions " + std::to_string(count) + ": too many");
    if (options_.inject_leak > 0) leaked_.add(options_.inject_leak);
    {
        const std::lock_guard lock(milestones_mutex_);
        partitions_ = static_cast<std::uint32_t>(count);
        milestones_.changing_since_ns = now_ns();
    }
    if (auto ok = source_->update(partitions_of(partitions_, options_.id_bytes)); !ok) return ok;
    Line("partitions").add("count", std::uint64_t{count}).add("t_ns", now_ns()).say();
    look_for_milestones();  // nothing may have to move
    return {};
}

bool Fleet::wait_covered(std::chrono::milliseconds limit) {
    std::unique_lock lock(milestones_mutex_);
    return milestone_said_.wait_for(lock, limit, [this] { return milestones_.covered; });
}

Result<void> Fleet::cycle(std::chrono::milliseconds rest) {
    if (!order_.empty()) return fail(Errc::invalid_argument, "cycle: " + std::to_string(order_.size()) + " workers run already");
    if (auto ok = start(std::nullopt); !ok) return ok;
    const bool covered = wait_covered(kCycleLimit);
    static_cast<void>(stop(std::nullopt));  // all there are: cannot be refused
    if (!covered)
        return fail(Errc::timeout, "cycle: not Stable and covered within " + std::to_string(kCycleLimit.count()) + " ms");
    const auto live =
        settled_live_bytes([this] { return runtime::requests_pending(context_) == 0; }, rest, kSettleLimit + 3 * rest);
    if (!live)
        return fail(Errc::timeout, "cycle: the heap still changes, or requests are pending, after " +
                                       std::to_string(kSettleLimit.count()) + " ms");
    Line("cycle")
        .add("t_ns", now_ns())
        .add("cycle", ++cycles_)
        .add("workers", std::uint64_t{slots_.size()})
        .add("live_bytes", *live)
        .say();
    return {};
}

void Fleet::say_status() const {
    std::string list;
    std::uint64_t stable = 0;
    std::string leader;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        const Slot& s = slots_[i];
        if (!s.running) continue;
        const Worker& w = *s.worker;
        const auto owned = w.assignment();
        Fence fence;
        for (const Ownership& o : owned) fence = std::max(fence, o.fence());
        const State state = w.state();
        stable += state == State::stable ? 1U : 0U;
        if (w.is_leader()) leader = w.id();
        const auto number = w.number();
        list += (list.empty() ? "" : ",");
        list += "{\"index\":" + std::to_string(i) + ",\"id\":" + json_quoted(w.id()) +
                ",\"number\":" + (number ? std::to_string(number->value) : "null") +
                ",\"state\":" + json_quoted(to_string(state)) + ",\"leader\":" + (w.is_leader() ? "true" : "false") +
                ",\"phase\":" + json_quoted(to_string(w.leader_phase())) + ",\"owned\":" + std::to_string(owned.size()) +
                ",\"epoch\":" + std::to_string(fence.epoch.value) + ",\"version\":" + std::to_string(fence.version) + "}";
    }
    Line("status")
        .add("t_ns", now_ns())
        .raw("workers", "[" + list + "]")
        .add("stable", stable)
        .raw("leader", leader.empty() ? "null" : json_quoted(leader))
        .say();
}

void Fleet::say_ownership() const {
    std::string list;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
        if (!slots_[i].running) continue;
        std::string ids;
        std::uint64_t valid = 0;
        for (const Ownership& o : slots_[i].worker->assignment()) {
            ids += (ids.empty() ? "" : ",") + json_quoted(o.partition().id());
            valid += o.valid() ? 1U : 0U;
        }
        list += (list.empty() ? "" : ",");
        list += "{\"index\":" + std::to_string(i) + ",\"id\":" + json_quoted(slots_[i].worker->id()) +
                ",\"valid\":" + std::to_string(valid) + ",\"partitions\":[" + ids + "]}";
    }
    Line("ownership").add("t_ns", now_ns()).raw("workers", "[" + list + "]").say();
}

void Fleet::say_consumed() const {
    ConsumerStats sum;
    std::string troubles;
    for (const Slot& s : slots_) {
        if (!s.running || !s.consumer) continue;
        const ConsumerStats one = s.consumer->stats();
        sum.pulled += one.pulled;
        sum.handled += one.handled;
        sum.failed += one.failed;
        sum.redelivered += one.redelivered;
        sum.given_back += one.given_back;
        sum.left += one.left;
        sum.recreations += one.recreations;
        sum.pulls_lost += one.pulls_lost;
        sum.acks_lost += one.acks_lost;
        sum.in_flight += one.in_flight;
        sum.partitions += one.partitions;
        sum.consuming += one.consuming;
        for (const auto& [partition, why] : s.consumer->troubles())
            troubles += (troubles.empty() ? "" : "; ") + partition + ": " + why;
    }
    Line("consumed")
        .add("t_ns", now_ns())
        .add("pulled", sum.pulled)
        .add("handled", sum.handled)
        .add("failed", sum.failed)
        .add("redelivered", sum.redelivered)
        .add("given_back", sum.given_back)
        .add("left", sum.left)
        .add("recreations", sum.recreations)
        .add("pulls_lost", sum.pulls_lost)
        .add("acks_lost", sum.acks_lost)
        .add("in_flight", std::uint64_t{sum.in_flight})
        .add("partitions", std::uint64_t{sum.partitions})
        .add("consuming", std::uint64_t{sum.consuming})
        .add("troubles", troubles)
        .say();
}

WorkerStats Fleet::sum_of_stats(std::uint64_t& running) const {
    WorkerStats sum;
    for (const Slot& s : slots_) {
        if (!s.running) continue;
        ++running;
        const WorkerStats one = s.worker->stats();
        sum.renewals += one.renewals;
        sum.renewal_retries += one.renewal_retries;
        sum.claims_attempted += one.claims_attempted;
        sum.sessions_lost += one.sessions_lost;
        sum.leaderships += one.leaderships;
        sum.plans += one.plans;
        sum.moved_partitions += one.moved_partitions;
        sum.records_written += one.records_written;
        sum.partitions_gained += one.partitions_gained;
        sum.partitions_lost += one.partitions_lost;
        sum.drain_timeouts += one.drain_timeouts;
        sum.malformed_records += one.malformed_records;
        sum.owned += one.owned;
        sum.draining += one.draining;
    }
    return sum;
}

void Fleet::say_stats() const {
    std::uint64_t running = 0;
    const WorkerStats sum = sum_of_stats(running);
    Line("stats")
        .add("t_ns", now_ns())
        .add("workers", running)
        .add("renewals", sum.renewals)
        .add("renewal_retries", sum.renewal_retries)
        .add("claims_attempted", sum.claims_attempted)
        .add("sessions_lost", sum.sessions_lost)
        .add("leaderships", sum.leaderships)
        .add("plans", sum.plans)
        .add("moved_partitions", sum.moved_partitions)
        .add("records_written", sum.records_written)
        .add("partitions_gained", sum.partitions_gained)
        .add("partitions_lost", sum.partitions_lost)
        .add("drain_timeouts", sum.drain_timeouts)
        .add("malformed_records", sum.malformed_records)
        .add("owned", std::uint64_t{sum.owned})
        .add("draining", std::uint64_t{sum.draining})
        .say();
}

}  // namespace parti::host
