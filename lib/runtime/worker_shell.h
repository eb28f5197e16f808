// WorkerShell: one worker's core, driven: feeds it events, carries out its effects, tells the user.
//
// Model     start: buckets (shared with the group) and the source's list, both tried again until startup_timeout; then the core
//           begins. One step: core, effects in order, view, callbacks, timer. What the user can see (state, number, assignment)
//           has changed before the callbacks of the same step run.
// Threads   "Any thread" and "io thread" as marked. The view has its own lock; the io thread holds it for a copy only.
// Lifetime  The Worker handle holds it; what runs later (posts, releases, listeners) holds it weakly. detach() ends everything on
//           the io thread; afterwards the shell is inert.
// Source   ; docs/PROTOCOL.md, "States".
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <parti/worker.h>

#include "core/worker_core.h"
#include "runtime/assignment_hook.h"
#include "runtime/context_impl.h"
#include "runtime/group.h"
#include "runtime/ownership.h"
#include "runtime/source_reader.h"
#include "runtime/timers.h"

namespace parti::runtime {

class WorkerShell final : public std::enable_shared_from_this<WorkerShell>,
                          public StuckListener,
                          public BucketWaiter,
                          public SourceUser {
public:
    WorkerShell(ContextImpl& context, Config config, std::shared_ptr<Source> source, std::shared_ptr<const Strategy> strategy,
                Callbacks callbacks);
    ~WorkerShell() override;

    // Once, before anything else.
    void make_callback_queue();

    // Any thread.
    void start();
    void request_stop();
    void refresh_partitions();
    Result<void> wait_for(State state, Duration timeout);
    bool wait_finished(Duration timeout);
    bool wait_callbacks(Duration timeout);  // true: every callback has returned
    void close_callbacks();                 // those that have not begun never will
    const Config& config() const { return config_; }
    Duration callback_limit() const { return runtime::callback_limit(config_.timing.drain_timeout); }
    const std::shared_ptr<Source>& source() const { return source_; }
    std::string id() const;
    std::vector<Ownership> assignment() const;
    struct View {
        State state = State::init;
        LeaderPhase phase = LeaderPhase::idle;
        bool leader = false;
        bool finished = false;
        AlertLevel alert = AlertLevel::none;
        std::optional<WorkerNumber> number;
        std::optional<Error> fatal;
        std::optional<Error> last_error;
        WorkerStats stats;
        core::Instant lease_deadline{};
    };
    View view() const;
    WorkerStats stats() const;
    std::optional<WorkerNumber> number() const;
    State state() const;
    bool leader() const;
    LeaderPhase phase() const;

    // Io thread.
    void detach();  // ends it without the core's consent: tokens are invalid, nothing is delivered any more
    void detach_when_finished(std::shared_ptr<ContextImpl> keep);  // for a handle that goes inside a callback
    void link_changed(const Connection::Link& link);
    void callback_stuck(const char* kind, const Subject& subject, Duration age, bool replaced) override;
    bool waits_for_buckets() const override { return phase_ == Phase::starting && !buckets_ready_; }
    void buckets_ready(const Result<void>& result) override;
    void add_hook(const std::shared_ptr<AssignmentHook>& hook);  // it hears at once of what is owned now
    void remove_hook(const AssignmentHook* hook);
    void report(Error error);  // what a hook has to tell the user: log line, last_error, on_error
    void partitions_told(const PartitionNews& news, bool asked) override;

private:
    enum class Phase : std::uint8_t { made, starting, running, finished };
    struct Held {
        std::uint64_t grant = 0;
        std::shared_ptr<OwnershipState> state;
    };
    struct Waiter {
        State wanted;
        bool hit = false;
    };
    class Release;
    struct Revoke {  // told to the hooks, not yet to the user
        std::vector<Held> lost;
        bool told = false;
    };

    // Start (worker_start.cpp).
    void begin();
    void load_partitions(bool refresh);
    void no_partitions(const Error& error, bool asked);
    void run_if_ready();
    void start_timer();
    void set_up_failed(Error error);

    // Steps.
    void feed(const core::Event& event);
    void timer_fired();
    void show();  // makes the step's outcome visible
    void finish();
    void on(core::Put& put);
    void on(core::Fetch& fetch);
    void on(core::SetInterest& interest);
    void on(core::Distrust& distrust);
    void on(core::CreateBucket& create);
    void on(core::SessionStarted& started);
    void on(core::LeaseExtended& extended);
    void on(core::SessionEnded& ended);
    void on(core::Granted& granted);
    void on(core::Revoked& revoked);
    void on(core::DrainTimedOut& timed_out);
    void on(core::StateChanged& changed);
    void on(core::LeadershipChanged& changed);
    void on(core::PhaseChanged& changed);
    void on(core::RefreshPartitions&);
    void on(core::AlertChanged& changed);
    void on(core::Note& note);
    void on(core::Stopped&);
    void change_state(State from, State to);
    void release_done(std::vector<std::uint64_t> grants);
    void forget_draining(std::vector<std::uint64_t> grants);
    enum class Gone : std::uint8_t { revoked, released };
    void observe_gone(const std::vector<Held>& gone, Gone how) const;

    // Callbacks (worker_callbacks.cpp).
    void queue_task(const char* kind, Subject subject, std::function<void(const Callbacks&)> call);
    void submit_tasks();
    void tell_assigned(const std::vector<Held>& gained);
    void tell_hooks_gained(const std::vector<Held>& gained);
    void tell_revoked(const std::vector<Held>& lost);
    void hooks_done(const std::shared_ptr<Revoke>& revoke);
    void hooks_late(const std::vector<std::uint64_t>& grants);
    void tell_user_revoked(const std::vector<Held>& lost);
    std::vector<std::shared_ptr<AssignmentHook>> hooks() const;
    void tell_error(Error error);
    void log(LogLevel level, std::string_view text) const;
    void post(std::function<void(WorkerShell&)> function);
    static void post_to(const std::shared_ptr<Poster>& poster, std::weak_ptr<WorkerShell> shell,
                        std::function<void(WorkerShell&)> function);

    ContextImpl& context_;  // not after detach()
    const std::shared_ptr<Poster> poster_;
    const std::shared_ptr<Logger> log_;
    const Config config_;
    const std::shared_ptr<Source> source_;
    const std::shared_ptr<const Strategy> strategy_;
    const std::shared_ptr<const Callbacks> callbacks_;
    const std::uint64_t ordinal_;
    std::shared_ptr<Executor::SerialQueue> callback_queue_;

    // The io thread's.
    Phase phase_ = Phase::made;
    bool attached_ = false;  // known to the context
    bool stop_wanted_ = false;
    bool buckets_ready_ = false;
    bool stopped_seen_ = false;
    std::unique_ptr<TimerQueue::Timer> timer_;
    core::Instant start_deadline_;
    std::optional<core::Instant> load_again_;
    Duration load_back_off_{};
    std::optional<Error> load_error_;
    std::shared_ptr<Group> group_;
    std::optional<Hub::MemberId> member_;
    std::unique_ptr<core::WorkerCore> core_;
    std::shared_ptr<const PartitionSet> partitions_;  // until the core has them
    std::shared_ptr<SourceReader> reader_;
    std::shared_ptr<SessionTokens> session_;
    std::vector<Held> draining_;
    std::set<std::uint64_t> unannounced_;  // grants whose on_assigned has not returned
    std::vector<std::weak_ptr<AssignmentHook>> hooks_;
    std::vector<std::shared_ptr<Revoke>> revokes_;
    std::vector<CallbackTask> tasks_;            // of this step
    std::shared_ptr<ContextImpl> keep_context_;  // lingering after the handle has gone
    std::shared_ptr<WorkerShell> keep_self_;

    // Of this step, made visible by show().
    std::vector<State> passed_;

    mutable std::mutex view_mutex_;
    mutable std::condition_variable view_changed_;
    View view_;
    std::vector<Held> owned_;  // ascending by grant; written by the io thread under the lock
    std::vector<Waiter*> waiters_;
};

}  // namespace parti::runtime
