// WorkerShell's way to the user: callbacks, releases, log lines.
#include <algorithm>
#include <utility>

#include "runtime/worker_shell.h"

namespace parti::runtime {

// What stands behind a RevokeDone: reports once, at the first call or when the last copy goes.
class WorkerShell::Release {
public:
    Release(std::shared_ptr<Poster> poster, std::weak_ptr<WorkerShell> shell, std::function<void(WorkerShell&)> report)
        : poster_(std::move(poster)), shell_(std::move(shell)), report_(std::move(report)) {}
    ~Release() { done(); }
    Release(const Release&) = delete;
    Release& operator=(const Release&) = delete;

    void done() {
        if (done_.exchange(true)) return;
        post_to(poster_, shell_, std::move(report_));
    }

private:
    const std::shared_ptr<Poster> poster_;
    const std::weak_ptr<WorkerShell> shell_;
    std::function<void(WorkerShell&)> report_;
    std::atomic<bool> done_{false};
};

void WorkerShell::post_to(const std::shared_ptr<Poster>& poster, std::weak_ptr<WorkerShell> shell,
                          std::function<void(WorkerShell&)> function) {
    poster->post([weak = std::move(shell), call = std::move(function)] {
        if (const auto self = weak.lock()) call(*self);
    });
}

void WorkerShell::post(std::function<void(WorkerShell&)> function) { post_to(poster_, weak_from_this(), std::move(function)); }

void WorkerShell::make_callback_queue() { callback_queue_ = context_.executor().make_queue(callback_limit(), weak_from_this()); }

void WorkerShell::queue_task(const char* kind, Subject subject, std::function<void(const Callbacks&)> call) {
    CallbackTask task;
    task.kind = kind;
    task.subject = std::move(subject);
    task.run = [kind, user = callbacks_, weak = weak_from_this(), poster = poster_, run = std::move(call)] {
        std::string what;
        try {
            run(*user);
            return;
        } catch (const std::exception& error) {
            what = error.what();
        } catch (...) {
            what = "something that is not a std::exception";
        }
        const bool in_on_error = std::string_view(kind) == "on_error";  // would report itself for ever
        post_to(poster, weak,
                [error = Error{Errc::callback_failed, std::string(kind) + " threw: " + what}, in_on_error](WorkerShell& self) {
                    self.log(LogLevel::error, error.message());
                    if (in_on_error) return;
                    self.tell_error(error);
                    self.submit_tasks();
                });
    };
    tasks_.push_back(std::move(task));
}

void WorkerShell::submit_tasks() {
    if (tasks_.empty()) return;
    for (CallbackTask& task : tasks_) context_.executor().submit(callback_queue_, std::move(task));
    tasks_.clear();
    context_.callbacks_waiting(config_.timing.drain_timeout);
}

void WorkerShell::tell_assigned(const std::vector<Held>& gained) {
    if (gained.empty()) return;
    if (!callbacks_->on_assigned) {
        tell_hooks_gained(gained);
        return;
    }
    auto subject = std::make_shared<std::vector<Ownership>>();
    for (const Held& held : gained) {
        subject->emplace_back(held.state);
        unannounced_.insert(held.grant);
    }
    // Also when the callback throws: the partitions are owned all the same.
    auto afterwards = std::make_shared<Release>(poster_, weak_from_this(), [gained](WorkerShell& self) {
        for (const Held& held : gained) self.unannounced_.erase(held.grant);
        self.tell_hooks_gained(gained);
    });
    queue_task("on_assigned", subject,
               [subject, slot = std::make_shared<std::shared_ptr<Release>>(std::move(afterwards))](const Callbacks& user) {
                   const auto tell = std::exchange(*slot, nullptr);
                   user.on_assigned(*subject);
               });
}

void WorkerShell::tell_hooks_gained(const std::vector<Held>& gained) {
    const auto listening = hooks();
    if (listening.empty() || phase_ == Phase::finished) return;
    std::vector<HookGrant> grants;
    for (const Held& held : gained) grants.push_back({held.grant, held.state});
    for (const auto& hook : listening) hook->gained(grants);
}

void WorkerShell::add_hook(const std::shared_ptr<AssignmentHook>& hook) {
    hooks_.push_back(hook);
    std::vector<HookGrant> grants;
    for (const Held& held : owned_) {  // on_assigned returns first
        if (!unannounced_.contains(held.grant)) grants.push_back({held.grant, held.state});
    }
    if (!grants.empty()) hook->gained(grants);
    if (phase_ == Phase::finished) hook->worker_finished();
}

void WorkerShell::remove_hook(const AssignmentHook* hook) {
    std::erase_if(hooks_, [hook](const std::weak_ptr<AssignmentHook>& weak) {
        const auto held = weak.lock();
        return held == nullptr || held.get() == hook;
    });
}

std::vector<std::shared_ptr<AssignmentHook>> WorkerShell::hooks() const {
    std::vector<std::shared_ptr<AssignmentHook>> out;
    for (const auto& weak : hooks_) {
        if (auto hook = weak.lock()) out.push_back(std::move(hook));
    }
    return out;
}

void WorkerShell::report(Error error) {
    log(LogLevel::error, error.message());
    tell_error(std::move(error));
    submit_tasks();
}

void WorkerShell::tell_revoked(const std::vector<Held>& lost) {
    if (lost.empty()) return;
    const auto listening = hooks();
    if (listening.empty()) {
        tell_user_revoked(lost);
        return;
    }
    std::vector<std::uint64_t> grants;
    for (const Held& held : lost) grants.push_back(held.grant);
    auto revoke = std::make_shared<Revoke>(Revoke{lost, false});
    revokes_.push_back(revoke);
    // Reports when the last hook has let its copy go.
    auto barrier = std::make_shared<Release>(poster_, weak_from_this(), [revoke](WorkerShell& self) { self.hooks_done(revoke); });
    for (const auto& hook : listening) hook->lost(grants, [held = barrier]() mutable { held.reset(); });
}

void WorkerShell::hooks_done(const std::shared_ptr<Revoke>& revoke) {
    std::erase(revokes_, revoke);
    if (std::exchange(revoke->told, true) || phase_ == Phase::finished) return;
    tell_user_revoked(revoke->lost);
    submit_tasks();
}

void WorkerShell::hooks_late(const std::vector<std::uint64_t>& grants) {
    const auto late = [&grants](const Held& held) { return std::find(grants.begin(), grants.end(), held.grant) != grants.end(); };
    for (const auto& revoke : revokes_) {
        if (revoke->told || std::none_of(revoke->lost.begin(), revoke->lost.end(), late)) continue;
        revoke->told = true;
        tell_user_revoked(revoke->lost);
    }
    for (const auto& hook : hooks()) hook->released(grants);
}

void WorkerShell::tell_user_revoked(const std::vector<Held>& lost) {
    std::vector<std::uint64_t> grants;
    for (const Held& held : lost) grants.push_back(held.grant);
    auto report = [grants](WorkerShell& self) { self.release_done(grants); };
    if (!callbacks_->on_revoked) {
        post(std::move(report));
        return;
    }
    auto subject = std::make_shared<std::vector<Ownership>>();
    for (const Held& held : lost) subject->emplace_back(held.state);
    auto release = std::make_shared<Release>(poster_, weak_from_this(), std::move(report));
    // The task gives its own copy away, so that a user who drops `done` without a call has released.
    queue_task("on_revoked", subject,
               [subject, slot = std::make_shared<std::shared_ptr<Release>>(std::move(release))](const Callbacks& user) {
                   user.on_revoked(*subject, [release = std::exchange(*slot, nullptr)] { release->done(); });
               });
}

void WorkerShell::tell_error(Error error) {
    {
        const std::lock_guard lock(view_mutex_);
        view_.last_error = error;
    }
    if (!callbacks_->on_error) return;
    queue_task("on_error", nullptr, [error = std::move(error)](const Callbacks& user) { user.on_error(error); });
}

void WorkerShell::log(LogLevel level, std::string_view text) const {
    if (!log_->on()) return;
    const std::string name = id();
    log_->print(level, "{} {}{}{}: {}", config_.group, name.empty() ? "worker " : name,
                name.empty() ? std::to_string(ordinal_) : "", stop_wanted_ ? " (stopping)" : "", text);
}

bool WorkerShell::wait_callbacks(Duration timeout) { return context_.executor().wait_idle(callback_queue_, timeout); }

void WorkerShell::close_callbacks() { context_.executor().close(callback_queue_); }

void WorkerShell::callback_stuck(const char* kind, const Subject& subject, Duration age, bool replaced) {
    std::string partitions;
    if (subject) {
        constexpr std::size_t kNamed = 5;
        for (std::size_t i = 0; i < subject->size() && i < kNamed; ++i) {
            partitions += (i == 0 ? " for " : ", ") + (*subject)[i].partition().id();
        }
        if (subject->size() > kNamed) partitions += fmt::format(" and {} more", subject->size() - kNamed);
    }
    Error error{Errc::callback_failed,
                fmt::format("{}{} has not returned for {} ms (allowed are {} ms); its thread is written off {}", kind, partitions,
                            std::chrono::duration_cast<std::chrono::milliseconds>(age).count(),
                            std::chrono::duration_cast<std::chrono::milliseconds>(callback_limit()).count(),
                            replaced ? "and replaced" : "and not replaced: too many were")};
    log(LogLevel::error, error.message());
    tell_error(std::move(error));
    submit_tasks();
}

}  // namespace parti::runtime
