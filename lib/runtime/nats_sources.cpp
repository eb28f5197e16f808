// kv_source and stream_subjects_source: one watch each, on the context's connection and io thread.
#include <parti/nats_sources.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <utility>

#include "base/assert.h"
#include "jetstream/json.h"
#include "jetstream/nats_client.h"
#include "runtime/context_impl.h"
#include "runtime/listeners.h"
#include "runtime/watched_set.h"

namespace parti {

namespace runtime {
namespace {

using core::Instant;
using Snapshot = std::shared_ptr<const PartitionSet>;

constexpr Duration kSettleLimit = std::chrono::seconds(60);
constexpr Duration kWaitLimit = std::chrono::hours(24);
constexpr unsigned kFailuresMax = 5;  // attempts in a row that fail for what may pass, before it is told

struct Plan {
    std::string what;  // "bucket 'x'", for errors
    jetstream::SubjectsSpec subjects;
    bool weights = false;
    WatchOptions times;
};

// The watch, what it has read and who hears of it. Only its own io-thread part touches `watch_`, `set_` and the flags.
class Watched final : public std::enable_shared_from_this<Watched> {
public:
    Watched(ContextImpl& context, Plan plan, PartitionRule rule)
        : context_(context), log_(context.log()), plan_(std::move(plan)), set_(std::move(rule)) {}

    // ---- any thread ---------------------------------------------------------------------------------------------------------

    Result<Snapshot> list() const {
        const std::lock_guard lock(mutex_);
        if (present_) return present_;
        if (trouble_) return tl::unexpected(*trouble_);
        return fail(Errc::not_ready, plan_.what + " has not been read yet");
    }

    std::shared_ptr<void> listen(Source::Listener listener) {
        std::vector<Error> standing;
        {
            const std::lock_guard lock(mutex_);
            if (trouble_) standing.push_back(*trouble_);
            if (problem_) standing.push_back(*problem_);
        }
        // Told to this listener only: the others know.
        Listeners alone;
        const auto handle = alone.add(listener);
        for (Error& error : standing) {
            if (const auto told = alone.tell(tl::unexpected(std::move(error))); !told)
                log_->print(LogLevel::error, "source: {}: {}", plan_.what, told.error().detail);
        }
        return listeners_.add(std::move(listener));
    }

    Result<void> wait_first() {
        std::unique_lock lock(mutex_);
        const auto settled = [this] {
            return present_ || (trouble_ && (gave_up_ || reaction_to(trouble_->code) != Reaction::retry));
        };
        changed_.wait_for(lock, plan_.times.wait, settled);
        if (present_) return {};
        if (trouble_ && settled()) return tl::unexpected(*trouble_);
        const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(plan_.times.wait).count();
        return fail(Errc::timeout, fmt::format("{} was not read within wait ({} ms){}", plan_.what, ms,
                                               last_failure_          ? ": " + last_failure_->message()
                                               : context_.connected() ? std::string()
                                                                      : ": not connected to NATS"));
    }

    // ---- io thread ----------------------------------------------------------------------------------------------------------

    void open() {
        if (!timer_) timer_ = std::make_unique<TimerQueue::Timer>(context_.timers(), [this] { timer_fired(); });
        live_ = false;
        jetstream::WatchHandlers handlers;
        const auto weak = weak_from_this();
        handlers.on_entry = [weak](jetstream::RawEntry entry) {
            if (const auto self = weak.lock()) self->take_in(entry);
        };
        const auto complete = [weak] {
            if (const auto self = weak.lock()) self->read();
        };
        handlers.on_initial_done = complete;
        handlers.on_recovered = complete;
        handlers.on_lost = [weak](const std::string&) {
            if (const auto self = weak.lock()) self->live_ = false;
        };
        jetstream::SubjectsSpec spec = plan_.subjects;
        spec.on_attempt_failed = [weak](const Error& error) {
            if (const auto self = weak.lock()) self->attempt_failed(error);
        };
        watch_ = context_.client().watch_subjects(std::move(spec), std::move(handlers));
    }

    void close() {
        closed_ = true;
        watch_.reset();
        timer_.reset();
    }

    void reread() {
        if (closed_) return;
        if (!watch_) {  // there were too many keys
            set_.clear();
            open();
        } else if (live_) {
            watch_->reread();
        } else {
            reread_wanted_ = true;  // a read is under way and may have begun too early
        }
    }

private:
    void take_in(const jetstream::RawEntry& entry) {
        if (entry.kind != jetstream::EntryKind::value) {
            set_.remove(entry.key);
        } else {
            set_.put(entry.key, plan_.weights ? parse_weight(entry.bytes) : Result<std::int64_t>(1));
        }
        if (set_.keys() > plan_.times.keys_max) return give_up();
        if (live_) change_seen();
    }

    void give_up() {
        watch_.reset();
        set_.clear();
        timer_->set(std::nullopt);
        {
            const std::lock_guard lock(mutex_);
            gave_up_ = true;
        }
        in_trouble({Errc::overloaded, fmt::format("{} has more than {} keys; nothing further is read until refresh_partitions()",
                                                  plan_.what, plan_.times.keys_max)});
    }

    // A flow of changes ends in one set: when it pauses for `settle`, or when its first change is `settle_max` old.
    void change_seen() {
        last_change_ = context_.now();
        if (first_change_) return;
        first_change_ = last_change_;
        timer_->set(last_change_ + std::min(plan_.times.settle, plan_.times.settle_max));
    }

    void timer_fired() {
        if (!first_change_ || !live_) return;
        const Instant due = std::min(last_change_ + plan_.times.settle, *first_change_ + plan_.times.settle_max);
        if (context_.now() < due) return timer_->set(due);
        publish();
    }

    void read() {
        live_ = true;
        failures_ = 0;
        const bool had_trouble = [this] {
            const std::lock_guard lock(mutex_);
            last_failure_.reset();
            gave_up_ = false;
            return std::exchange(trouble_, std::nullopt).has_value();
        }();
        if (had_trouble) log_->print(LogLevel::info, "source: {} is read again", plan_.what);
        publish();
        if (std::exchange(reread_wanted_, false) && watch_) watch_->reread();
    }

    void publish() {
        first_change_.reset();
        const bool first = present() == nullptr;
        if (set_.take_set_changed() || first) {
            auto made = set_.build();
            if (!made) return in_trouble(made.error());
            {
                const std::lock_guard lock(mutex_);
                present_ = *made;
                changed_.notify_all();
            }
            log_->print(LogLevel::debug, "source: {} names {} partitions", plan_.what, (*made)->size());
            tell_all(*made);
        }
        if (!set_.take_problem_changed()) return;
        auto problem = set_.problem();
        if (problem) problem->detail = plan_.what + ": " + problem->detail;
        {
            const std::lock_guard lock(mutex_);
            problem_ = problem;
        }
        if (problem) tell(*problem);
    }

    void attempt_failed(const Error& error) {
        const bool passes = reaction_to(error.code) == Reaction::retry;
        ++failures_;
        {
            const std::lock_guard lock(mutex_);
            last_failure_ = error;
        }
        if (passes && failures_ < kFailuresMax) return;
        const Errc code = error.code;
        {
            const std::lock_guard lock(mutex_);
            if (trouble_ && trouble_->code == code) return;  // told
        }
        in_trouble({code, code == Errc::not_found ? plan_.what + " does not exist" : plan_.what + ": " + error.detail});
    }

    void in_trouble(Error error) {
        const Snapshot kept = present();
        if (kept) error.detail += fmt::format("; the last set of {} partitions is kept", kept->size());
        {
            const std::lock_guard lock(mutex_);
            trouble_ = error;
            changed_.notify_all();
        }
        tell(error);
    }

    void tell(const Error& error) {
        log_->print(LogLevel::error, "source: {}", error.message());
        tell_all(tl::unexpected(error));
    }

    void tell_all(const Result<Snapshot>& news) {
        if (const auto told = listeners_.tell(news); !told)
            log_->print(LogLevel::error, "source: {}: {}", plan_.what, told.error().detail);
    }

    Snapshot present() const {
        const std::lock_guard lock(mutex_);
        return present_;
    }

    ContextImpl& context_;  // not after close()
    const std::shared_ptr<Logger> log_;
    const Plan plan_;
    Listeners listeners_;

    // The io thread's.
    std::unique_ptr<jetstream::SubjectsWatch> watch_;
    std::unique_ptr<TimerQueue::Timer> timer_;
    WatchedSet set_;
    std::optional<Instant> first_change_;  // not told yet
    Instant last_change_;
    unsigned failures_ = 0;
    bool live_ = false;
    bool closed_ = false;
    bool reread_wanted_ = false;

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    Snapshot present_;
    std::optional<Error> trouble_;       // nothing is heard any more, or nothing was ever read
    bool gave_up_ = false;               // too many keys: nothing is read until it is asked for
    std::optional<Error> problem_;       // of some keys
    std::optional<Error> last_failure_;  // of an attempt
};

class WatchedSource final : public Source {
public:
    WatchedSource(std::shared_ptr<ContextImpl> context, std::shared_ptr<Watched> watched)
        : context_(std::move(context)), watched_(std::move(watched)) {}
    ~WatchedSource() override {
        context_->run_on_io([this] { watched_->close(); });
    }
    WatchedSource(const WatchedSource&) = delete;
    WatchedSource& operator=(const WatchedSource&) = delete;

    Result<Snapshot> list() override { return watched_->list(); }
    Result<Snapshot> refresh() override {
        context_->poster()->post([watched = watched_] { watched->reread(); });
        return watched_->list();
    }
    std::shared_ptr<void> listen(Listener listener) override { return watched_->listen(std::move(listener)); }

private:
    const std::shared_ptr<ContextImpl> context_;
    const std::shared_ptr<Watched> watched_;
};

Result<void> check_times(const WatchOptions& times) {
    const auto ms = [](Duration d) { return std::chrono::duration_cast<std::chrono::milliseconds>(d).count(); };
    if (times.settle < Duration::zero() || times.settle > times.settle_max || times.settle_max > kSettleLimit) {
        return fail(Errc::invalid_argument,
                    fmt::format("settle ({} ms) must be in 0..settle_max ({} ms), which is at most 60000 ms", ms(times.settle),
                                ms(times.settle_max)));
    }
    if (times.keys_max < 1 || times.keys_max > kPartitionsMax) {
        return fail(Errc::invalid_argument, fmt::format("keys_max ({}) must be in 1..{}", times.keys_max, kPartitionsMax));
    }
    if (times.wait < Duration::zero() || times.wait > kWaitLimit)
        return fail(Errc::invalid_argument, fmt::format("wait ({} ms) must be in 0..86400000 ms", ms(times.wait)));
    return {};
}

Result<std::shared_ptr<Source>> make_source(const Context& context, Plan plan, const std::string& partition) {
    auto rule = PartitionRule::make(partition);
    if (!rule) return tl::unexpected(rule.error());
    if (auto ok = check_times(plan.times); !ok) return tl::unexpected(ok.error());
    const bool waits = plan.times.wait > Duration::zero();
    const auto& impl = context.impl();
    auto watched = std::make_shared<Watched>(*impl, std::move(plan), std::move(*rule));
    impl->run_on_io([&] { watched->open(); });
    auto source = std::make_shared<WatchedSource>(impl, watched);
    if (!waits) return source;
    if (auto ok = watched->wait_first(); !ok) return tl::unexpected(ok.error());
    return source;
}

}  // namespace
}  // namespace runtime

Result<std::shared_ptr<Source>> kv_source(const Context& context, const KvSourceOptions& options) {
    if (!jetstream::valid_bucket_name(options.bucket))
        return fail(Errc::invalid_argument, "bucket '" + options.bucket + "': a name is 1 to 200 of A-Z a-z 0-9 _ -");
    if (!jetstream::valid_key(options.filter, true)) {
        return fail(Errc::invalid_argument,
                    "filter '" + options.filter + "' of bucket '" + options.bucket +
                        "': a filter is tokens of A-Z a-z 0-9 _ - / = or '*', joined by single dots; the last may be '>'");
    }
    runtime::Plan plan;
    plan.what = "bucket '" + options.bucket + "'";
    plan.subjects.stream = "KV_" + options.bucket;
    plan.subjects.prefix = "$KV." + options.bucket + ".";
    plan.subjects.filter = plan.subjects.prefix + options.filter;
    plan.subjects.headers_only = !options.weights;
    plan.weights = options.weights;
    plan.times = options.watch;
    return runtime::make_source(context, std::move(plan), options.partition);
}

Result<std::shared_ptr<Source>> stream_subjects_source(const Context& context, const StreamSubjectsOptions& options) {
    if (!jetstream::valid_stream_name(options.stream)) {
        return fail(Errc::invalid_argument,
                    "stream '" + options.stream + "': a name is 1 to 255 characters without '.', '*', '>', '/', '\\' and blanks");
    }
    if (!jetstream::valid_filter(options.filter)) {
        return fail(Errc::invalid_argument,
                    "filter '" + options.filter + "' of stream '" + options.stream +
                        "': a filter is subject tokens joined by single dots; '*' is a token, '>' the last one");
    }
    runtime::Plan plan;
    plan.what = "stream '" + options.stream + "'";
    plan.subjects.stream = options.stream;
    plan.subjects.filter = options.filter;
    plan.subjects.headers_only = true;
    plan.times = options.watch;
    return runtime::make_source(context, std::move(plan), options.partition);
}

}  // namespace parti
