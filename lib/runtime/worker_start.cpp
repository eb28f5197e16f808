// WorkerShell, from start() to the core's first step.
#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "runtime/boot_clock.h"
#include "runtime/worker_shell.h"

namespace parti::runtime {

namespace {

constexpr Duration kLoadBackOffFirst = std::chrono::milliseconds(100);
constexpr Duration kLoadBackOffMax = std::chrono::seconds(5);

}  // namespace

void WorkerShell::start() {
    post([](WorkerShell& self) { self.begin(); });
}

void WorkerShell::request_stop() {
    post([](WorkerShell& self) {
        if (self.stop_wanted_ || self.phase_ == Phase::finished) return;
        self.stop_wanted_ = true;
        if (self.phase_ == Phase::running) {
            self.feed(core::Stop{});
            return;
        }
        if (self.phase_ == Phase::starting) self.change_state(State::init, State::stopped);
        self.show();
        self.submit_tasks();
        self.finish();
    });
}

void WorkerShell::refresh_partitions() {
    post([](WorkerShell& self) {
        if (self.phase_ == Phase::running || self.phase_ == Phase::starting) self.load_partitions(true);
    });
}

void WorkerShell::begin() {
    if (phase_ != Phase::made || stop_wanted_) return;
    for (const std::string& warning : config_.warnings()) log(LogLevel::warning, warning);
    phase_ = Phase::starting;
    start_deadline_ = context_.now() + config_.timing.startup_timeout;
    load_back_off_ = kLoadBackOffFirst;
    timer_ = std::make_unique<TimerQueue::Timer>(context_.timers(), [this] { timer_fired(); });
    context_.add(this);
    attached_ = true;
    timer_->set(start_deadline_);
    auto group = context_.group(config_);
    if (!group) {
        set_up_failed(group.error());
        return;
    }
    group_ = std::move(*group);
    reader_ = context_.source_reader(source_, callback_limit());
    reader_->join(weak_from_this());
    load_partitions(false);
    group_->ensure(weak_from_this());
}

void WorkerShell::load_partitions(bool refresh) {
    load_again_.reset();
    reader_->ask(weak_from_this(), refresh);
}

void WorkerShell::partitions_told(const PartitionNews& news, bool asked) {
    if (phase_ != Phase::running && phase_ != Phase::starting) return;
    if (news && phase_ == Phase::running) {
        feed(core::PartitionsChanged{*news});
    } else if (news) {
        partitions_ = *news;
        run_if_ready();
    } else {
        no_partitions(news.error(), asked);
    }
}

void WorkerShell::no_partitions(const Error& error, bool asked) {
    // A source that tells by itself and has nothing yet is no trouble; when it stays so, startup_timeout names it.
    if (error.code != Errc::not_ready || !reader_->tells()) {
        tell_error(error);
        submit_tasks();
    }
    if (phase_ != Phase::starting) return;
    load_error_ = error;
    if (!asked) return;
    load_again_ = context_.now() + load_back_off_;
    load_back_off_ = std::min(load_back_off_ * 2, kLoadBackOffMax);
    timer_->set(std::min(start_deadline_, *load_again_));
}

void WorkerShell::buckets_ready(const Result<void>& result) {
    if (phase_ != Phase::starting) return;
    if (!result) {
        set_up_failed(result.error());
        return;
    }
    buckets_ready_ = true;
    run_if_ready();
}

void WorkerShell::run_if_ready() {
    if (phase_ != Phase::starting || !buckets_ready_ || partitions_ == nullptr) return;
    phase_ = Phase::running;
    timer_->set(std::nullopt);
    core_ = std::make_unique<core::WorkerCore>(config_, strategy_, random_bits(), context_.process());
    member_ = group_->hub().join([weak = weak_from_this()](const core::Event& event) {
        if (const auto self = weak.lock()) self->feed(event);
    });
    feed(core::LinkChanged{context_.link_up()});
    feed(core::Start{});
    feed(core::PartitionsChanged{std::exchange(partitions_, nullptr)});
}

void WorkerShell::start_timer() {
    const core::Instant now = context_.now();
    if (now < start_deadline_) {
        if (load_again_ && *load_again_ <= now) load_partitions(false);
        timer_->set(load_again_ ? std::min(start_deadline_, *load_again_) : start_deadline_);
        return;
    }
    std::string why = fmt::format("startup_timeout ({} ms) is over",
                                  std::chrono::duration_cast<std::chrono::milliseconds>(config_.timing.startup_timeout).count());
    if (!buckets_ready_) {
        const Error& last = group_->last_error();
        why += context_.connected() ? "; the buckets are not ready" : "; the buckets are not ready: not connected to NATS";
        if (!last.detail.empty()) why += ": " + last.message();
    }
    if (partitions_ == nullptr)
        why += "; the source has given no partitions" + (load_error_ ? ": " + load_error_->message() : std::string());
    set_up_failed(Error{Errc::timeout, std::move(why)});
}

void WorkerShell::set_up_failed(Error error) {
    {
        const std::lock_guard lock(view_mutex_);
        view_.fatal = error;
    }
    log(LogLevel::error, error.message());
    tell_error(std::move(error));
    change_state(State::init, State::stopped);
    show();
    submit_tasks();
    finish();
}

}  // namespace parti::runtime
