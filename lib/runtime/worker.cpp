#include <parti/worker.h>

#include <algorithm>
#include <utility>

#include "runtime/boot_clock.h"
#include "runtime/worker_impl.h"

namespace parti {

namespace runtime {

WorkerImpl::~WorkerImpl() {
    if (context->on_own_thread()) {
        // Nobody may wait here; the shell leaves by itself and keeps the context until then.
        shell->request_stop();
        context->poster()->post([s = shell, c = context] { s->detach_when_finished(c); });
        return;
    }
    static_cast<void>(stop());
    shell->close_callbacks();
    context->run_on_io([this] { shell->detach(); });
}

Result<void> WorkerImpl::stop() {
    if (context->on_own_thread()) {
        return fail(Errc::stopping, "stop() was called inside a callback, where it would wait for itself; use request_stop()");
    }
    const core::Instant deadline = boot_now() + shell->config().timing.shutdown_timeout;
    shell->request_stop();
    const auto limit_ms = std::chrono::duration_cast<std::chrono::milliseconds>(shell->config().timing.shutdown_timeout).count();
    if (!shell->wait_finished(shell->config().timing.shutdown_timeout)) {
        return fail(Errc::timeout, fmt::format("the worker has not left the group within shutdown_timeout ({} ms); it is {}",
                                               limit_ms, to_string(shell->state())));
    }
    if (!shell->wait_callbacks(std::max<Duration>(deadline - boot_now(), Duration::zero()))) {
        return fail(Errc::timeout, fmt::format("the worker has left the group, but a callback has not returned within its "
                                               "time (drain_timeout, shutdown_timeout {} ms)",
                                               limit_ms));
    }
    return {};
}

}  // namespace runtime

const Partition& Ownership::partition() const { return state_->partition; }
Fence Ownership::fence() const { return state_->fence; }
bool Ownership::valid() const { return state_->valid(); }

namespace {

// What a user's strategy says of itself, asked once, where an exception can be an answer: the core asks on the io thread.
class AskedOnce final : public Strategy {
public:
    explicit AskedOnce(std::shared_ptr<const Strategy> user)
        : user_(std::move(user)), name_(user_->name()), works_in_steps_(user_->works_in_steps()) {}
    std::vector<std::int32_t> assign(const StrategyInput& input) const override { return user_->assign(input); }
    std::string_view name() const override { return name_; }
    bool works_in_steps() const override { return works_in_steps_; }

private:
    const std::shared_ptr<const Strategy> user_;
    const std::string name_;
    const bool works_in_steps_;
};

Result<std::shared_ptr<const Strategy>> checked(std::shared_ptr<const Strategy> user) {
    try {
        if (auto ok = user->validate(); !ok) return tl::unexpected(ok.error());
        return std::make_shared<const AskedOnce>(std::move(user));
    } catch (const std::exception& error) {
        return fail(Errc::callback_failed, std::string("the strategy threw: ") + error.what());
    } catch (...) {
        return fail(Errc::callback_failed, "the strategy threw something that is not a std::exception");
    }
}

}  // namespace

Result<Worker> Worker::make(Context context, Config config, std::shared_ptr<Source> source,
                            std::shared_ptr<const Strategy> strategy, Callbacks callbacks) {
    if (auto ok = config.validate(); !ok) return tl::unexpected(ok.error());
    if (source == nullptr) return fail(Errc::invalid_config, "source is null; a worker needs one");
    if (strategy == nullptr) strategy = sticky();
    auto asked = checked(std::move(strategy));
    if (!asked) return tl::unexpected(asked.error());
    auto shell = std::make_shared<runtime::WorkerShell>(*context.impl(), std::move(config), std::move(source), std::move(*asked),
                                                        std::move(callbacks));
    shell->make_callback_queue();
    return Worker(std::make_shared<runtime::WorkerImpl>(context.impl(), std::move(shell)));
}

Worker::Worker(std::shared_ptr<runtime::WorkerImpl> impl) : impl_(std::move(impl)) {}
Worker::Worker(Worker&&) noexcept = default;
Worker& Worker::operator=(Worker&&) noexcept = default;
Worker::~Worker() = default;

void Worker::start() { impl_->shell->start(); }
Result<void> Worker::wait_for(State state, Duration timeout) { return impl_->shell->wait_for(state, timeout); }
Result<void> Worker::stop() { return impl_->stop(); }
void Worker::request_stop() { impl_->shell->request_stop(); }
void Worker::refresh_partitions() { impl_->shell->refresh_partitions(); }

std::string Worker::group() const { return impl_->shell->config().group; }
std::optional<WorkerNumber> Worker::number() const { return impl_->shell->number(); }
std::string Worker::id() const { return impl_->shell->id(); }
State Worker::state() const { return impl_->shell->state(); }
bool Worker::is_leader() const { return impl_->shell->leader(); }
AlertLevel Worker::alert_level() const { return impl_->shell->view().alert; }

LeaderPhase Worker::leader_phase() const { return impl_->shell->phase(); }
std::vector<Ownership> Worker::assignment() const { return impl_->shell->assignment(); }
WorkerStats Worker::stats() const { return impl_->shell->stats(); }
std::optional<Error> Worker::last_error() const { return impl_->shell->view().last_error; }

}  // namespace parti
