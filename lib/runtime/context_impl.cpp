#include "runtime/context_impl.h"

#include <nats/nats.h>
#include <sys/random.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <future>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/assert.h"
#include "jetstream/link.h"
#include "jetstream/server_version.h"
#include "runtime/boot_clock.h"
#include "runtime/group.h"
#include "runtime/source_reader.h"
#include "runtime/worker_shell.h"

#include <parti/nats.h>

namespace parti::runtime {

using core::Instant;

namespace {

constexpr Duration kStopGrace = std::chrono::seconds(2);
constexpr Duration kLinkPoll = std::chrono::milliseconds(200);
constexpr std::size_t kScratchKept = 16;  // effects: always the same room, so that a context's memory does not depend on its past
constexpr const char* kNatsThreads = "nats.c";
thread_local const ContextImpl* context_of_this_io_thread = nullptr;

void destroy(ContextImpl* context) {
    if (!context->on_own_thread()) {
        delete context;
        return;
    }
    std::thread([context] {
        name_this_thread("parti-end");
        delete context;
    }).detach();
}

// Asio's list of waiting timers keeps the room it ever needed. It has it from the beginning, so that a context's memory does not
// depend on whether a burst of watches ever came together.
void make_room_for_timers(boost::asio::io_context& io) {
    constexpr std::size_t kTimers = 32;
    std::vector<boost::asio::steady_timer> timers;
    timers.reserve(kTimers);
    for (std::size_t i = 0; i < kTimers; ++i) {
        timers.emplace_back(io, std::chrono::hours(1)).async_wait([](const boost::system::error_code&) {});
    }
}

}  // namespace

std::uint64_t random_bits() {
    std::uint64_t bits = 0;
    PARTI_ASSERT(::getrandom(&bits, sizeof bits, 0) == static_cast<ssize_t>(sizeof bits));
    return bits;
}

ContextImpl::ContextImpl(LogSink log)
    : log_(std::make_shared<Logger>(std::move(log))), process_(random_bits()), now_(boot_now()) {
    scratch_.reserve(kScratchKept);
}

void ContextImpl::give_back_scratch() {
    if (scratch_.capacity() <= kScratchKept) return;
    core::Effects kept;
    kept.reserve(kScratchKept);
    scratch_.swap(kept);
}

LogSink ContextImpl::log_sink() const {
    if (!log_->on()) return {};
    return [log = log_](LogLevel level, std::string_view line) { log->write(level, line); };
}

Result<std::shared_ptr<ContextImpl>> ContextImpl::make(ConnectOptions options, natsConnection* borrowed) {
    std::shared_ptr<ContextImpl> impl(new ContextImpl(std::move(options.log)), destroy);
    try {
        if (auto opened = impl->open(options, borrowed); !opened) return tl::unexpected(opened.error());
    } catch (const std::system_error& error) {
        return fail(Errc::internal, std::string("cannot start the threads of a context: ") + error.what());
    }
    return impl;
}

Result<void> ContextImpl::open(const ConnectOptions& options, natsConnection* borrowed) {
    // Weak: nats.c may still speak while the context ends.
    const auto on_link = [this, poster = io_.poster()](Connection::Link link) {
        poster->post([this, link] { link_changed(link); });
    };
    Result<std::unique_ptr<Connection>> connection = fail(Errc::internal);
    if (borrowed != nullptr) {
        connection = Connection::borrow(borrowed);
    } else {
        // Threads inherit the name of the one that starts them: those of nats.c are told apart from the user's.
        std::thread opener([&] {
            name_this_thread(kNatsThreads);
            connection = Connection::open(options, log_, on_link);
            nats_ReleaseThreadMemory();
        });
        opener.join();
    }
    if (!connection) return tl::unexpected(connection.error());
    connection_ = std::move(*connection);

    auto timers = TimerQueue::make(io_.io());
    if (!timers) return tl::unexpected(timers.error());
    timers_ = std::move(*timers);
    watchdog_ = std::make_unique<TimerQueue::Timer>(*timers_, [this] { watchdog_->set(executor_->check()); });
    executor_ = std::make_unique<Executor>(options.callback_threads, boot_now, log_);
    if (executor_->threads() < options.callback_threads) return fail(Errc::internal, "the system gives no more threads");
    io_.start([this] { context_of_this_io_thread = this; });

    Result<std::shared_ptr<jetstream::NatsClient>> client = fail(Errc::internal);
    run_on_io([&] {
        jetstream::ClientOptions client_options;
        client_options.seed = random_bits();
        client_options.log = log_sink();
        make_room_for_timers(io_.io());
        name_this_thread(kNatsThreads);  // for the delivery pool, which begins with the first subscription
        client = jetstream::make_nats_client(io_.io(), connection_->get(), client_options, {});
        name_this_thread(kIoThread);
        if (client && connection_->borrowed()) {
            link_poll_ = std::make_unique<TimerQueue::Timer>(*timers_, [this] { poll_link(); });
            poll_link();
        }
    });
    if (!client) return tl::unexpected(client.error());
    client_ = std::move(*client);
    return {};
}

ContextImpl::~ContextImpl() {
    if (executor_) executor_->stop(kStopGrace);
    if (client_) {
        auto stopped = std::make_shared<std::promise<void>>();
        auto done = stopped->get_future();
        io_.poster()->post([this, stopped] {
            PARTI_ASSERT(workers_.empty());
            client_->stop([stopped] { stopped->set_value(); });
        });
        if (done.wait_for(kStopGrace) != std::future_status::ready)
            log_->write(LogLevel::warning, "the JetStream client did not stop in time");
    }
    io_.stop();
    // A client that did not stop in time is still listening; and nats.c must deliver nothing any more when subscriptions go.
    if (client_) {
        if (const auto link = jetstream::link_of(*client_)) link->close();
    }
    if (connection_) connection_->close();
    client_.reset();
    watchdog_.reset();
    link_poll_.reset();
    timers_.reset();
    connection_.reset();
}

bool ContextImpl::on_io_thread() const { return context_of_this_io_thread == this; }

bool ContextImpl::on_own_thread() const { return on_io_thread() || (executor_ && executor_->on_callback_thread()); }

void ContextImpl::run_on_io(std::function<void()> function) {
    if (context_of_this_io_thread == this) {
        function();
        return;
    }
    std::promise<void> done;
    const bool posted = io_.poster()->post([&] {
        function();
        done.set_value();
    });
    PARTI_ASSERT(posted);
    done.get_future().wait();
}

std::string ContextImpl::server_version() {
    const std::string url = connection_->url();
    if (url.empty() || context_of_this_io_thread == this) return {};
    auto answer = std::make_shared<std::promise<std::string>>();
    auto version = answer->get_future();
    io_.poster()->post([this, url, answer] {
        jetstream::read_server_version(io_.io(), url, kStopGrace, [answer](const Result<jetstream::Version>& read) {
            answer->set_value(read ? jetstream::to_string(*read) : std::string());
        });
    });
    return version.wait_for(2 * kStopGrace) == std::future_status::ready ? version.get() : std::string();
}

Instant ContextImpl::now() {
    now_ = std::max(now_, boot_now());
    return now_;
}

Result<std::shared_ptr<Group>> ContextImpl::group(const Config& config) {
    std::weak_ptr<Group>& remembered = groups_[config.group];
    if (auto present = remembered.lock()) {
        if (auto ok = present->agrees_with(config); !ok) return tl::unexpected(ok.error());
        return present;
    }
    auto made = std::make_shared<Group>(*this, config);
    remembered = made;
    return made;
}

// A reader that has gone may have left its source's address to another one: what is expired counts as absent.
std::shared_ptr<SourceReader> ContextImpl::source_reader(const std::shared_ptr<Source>& source, Duration limit) {
    std::weak_ptr<SourceReader>& remembered = readers_[source.get()];
    if (auto present = remembered.lock()) return present;
    auto made = std::make_shared<SourceReader>(*this, source, limit);
    remembered = made;
    return made;
}

void ContextImpl::remove(WorkerShell* worker) {
    std::erase(workers_, worker);
    std::erase_if(readers_, [](const auto& entry) { return entry.second.expired(); });
    std::erase_if(groups_, [](const auto& entry) { return entry.second.expired(); });
}

void ContextImpl::callbacks_waiting(Duration limit) {
    const Instant at = now() + limit;
    if (!watchdog_->deadline() || *watchdog_->deadline() > at) watchdog_->set(at);
}

void ContextImpl::link_changed(const Connection::Link& link) {
    if (link.for_good) log_->print(LogLevel::error, "the connection to NATS is closed for good: {}", link.detail);
    link_up_ = link.up;
    const std::vector<WorkerShell*> workers = workers_;
    for (WorkerShell* worker : workers) worker->link_changed(link);
}

void ContextImpl::poll_link() {
    const bool up = connection_->connected();
    const bool closed = !up && connection_->closed() && !std::exchange(closed_, true);
    if (closed) link_changed({false, true, "its owner closed it, or the server refused it"});
    else if (up != link_up_) link_changed({up, false, up ? "" : "the borrowed connection is down"});
    link_poll_->set(now() + kLinkPoll);
}

void set_observer(const Context& context, std::shared_ptr<Observer> observer) {
    ContextImpl& impl = *context.impl();
    impl.run_on_io([&] { impl.set_observer(std::move(observer)); });
}

// Afterwards Asio keeps no memory for reuse on the io thread, so that the heap can be compared to the byte.
std::size_t requests_pending(const Context& context) {
    // More than Asio keeps for reuse: on its way it takes the place of what the io thread has kept, and leaves nothing itself.
    struct Flush {
        std::promise<void>* done = nullptr;
        std::array<char, 1100> room{};
        void operator()() const { done->set_value(); }
    };
    ContextImpl& impl = *context.impl();
    std::size_t pending = 0;
    std::promise<void> done;
    impl.run_on_io([&] {
        pending = impl.client().stats().pending_requests;
        boost::asio::post(jetstream::link_of(impl.client())->io(), Flush{&done});
    });
    done.get_future().wait();
    return pending;
}

}  // namespace parti::runtime

namespace parti {

Result<Context> Context::connect(ConnectOptions options) {
    if (auto ok = options.validate(); !ok) return tl::unexpected(ok.error());
    auto impl = runtime::ContextImpl::make(std::move(options), nullptr);
    if (!impl) return tl::unexpected(impl.error());
    return Context(std::move(*impl));
}

bool Context::connected() const { return impl_->connected(); }
std::string Context::server_version() const { return impl_->server_version(); }

Result<Context> use_connection(natsConnection* connection, ConnectOptions options) {
    if (connection == nullptr) return fail(Errc::invalid_config, "the connection is null");
    if (options.callback_threads < 1 || options.callback_threads > 64) {
        return fail(Errc::invalid_config, fmt::format("callback_threads ({}) must be in 1..64", options.callback_threads));
    }
    auto impl = runtime::ContextImpl::make(std::move(options), connection);
    if (!impl) return tl::unexpected(impl.error());
    return Context(std::move(*impl));
}

}  // namespace parti
