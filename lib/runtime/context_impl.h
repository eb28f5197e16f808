// ContextImpl: what all workers of a process share: connection, io thread, timer, callback threads, JetStream client, groups.
//
// Threads   As each block says.
// Lifetime  Held by Context and Worker handles only, never by what runs on its own threads. The last handle stops the client,
//           joins the threads and closes the connection; when it goes on one of these very threads, a thread of its own does
//           that.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <parti/config.h>
#include <parti/context.h>
#include <parti/source.h>

#include "core/io.h"
#include "jetstream/nats_client.h"
#include "runtime/connection.h"
#include "runtime/executor.h"
#include "runtime/io_thread.h"
#include "runtime/logger.h"
#include "runtime/observer.h"
#include "runtime/timers.h"

namespace parti::runtime {

class Group;
class SourceReader;
class WorkerShell;

class ContextImpl {
public:
    // `borrowed`: the user's connection, or null. Errors: as Context::connect.
    static Result<std::shared_ptr<ContextImpl>> make(ConnectOptions options, __natsConnection* borrowed);
    ~ContextImpl();
    ContextImpl(const ContextImpl&) = delete;
    ContextImpl& operator=(const ContextImpl&) = delete;

    // Any thread.
    bool connected() const { return connection_->connected(); }
    std::string server_version();  // asks the server; empty when it does not say within 2 s
    const std::shared_ptr<Poster>& poster() const { return io_.poster(); }
    const std::shared_ptr<Logger>& log() const { return log_; }
    LogSink log_sink() const;  // for the layers below; absent when the user gave none
    Executor& executor() { return *executor_; }
    bool on_io_thread() const;
    bool on_own_thread() const;                      // the io thread or a callback thread
    void run_on_io(std::function<void()> function);  // waits for it; directly when called there
    std::uint64_t process() const { return process_; }
    std::uint64_t next_worker() { return workers_made_.fetch_add(1); }

    // The io thread.
    core::Instant now();  // never goes back
    core::Effects& scratch() { return scratch_; }
    void give_back_scratch();  // what a leader's burst needed beyond the usual
    TimerQueue& timers() { return *timers_; }
    jetstream::NatsClient& client() { return *client_; }
    Result<std::shared_ptr<Group>> group(const Config& config);
    std::shared_ptr<SourceReader> source_reader(const std::shared_ptr<Source>& source, Duration limit);
    void add(WorkerShell* worker) { workers_.push_back(worker); }
    void remove(WorkerShell* worker);
    void callbacks_waiting(Duration limit);  // something was submitted: look after `limit` whether it runs for too long
    bool link_up() const { return link_up_; }
    Observer* observer() const { return observer_.get(); }
    void set_observer(std::shared_ptr<Observer> observer) { observer_ = std::move(observer); }

private:
    explicit ContextImpl(LogSink log);
    Result<void> open(const ConnectOptions& options, __natsConnection* borrowed);
    void link_changed(const Connection::Link& link);
    void poll_link();

    std::shared_ptr<Logger> log_;
    IoThread io_;
    std::unique_ptr<Executor> executor_;
    std::unique_ptr<Connection> connection_;
    std::uint64_t process_ = 0;
    std::atomic<std::uint64_t> workers_made_{0};

    // The io thread's.
    std::unique_ptr<TimerQueue> timers_;
    std::shared_ptr<jetstream::NatsClient> client_;
    std::unique_ptr<TimerQueue::Timer> watchdog_;
    std::unique_ptr<TimerQueue::Timer> link_poll_;  // for a borrowed connection
    std::map<std::string, std::weak_ptr<Group>> groups_;
    std::map<const Source*, std::weak_ptr<SourceReader>> readers_;
    std::vector<WorkerShell*> workers_;
    core::Instant now_;
    core::Effects scratch_;
    bool link_up_ = true;
    bool closed_ = false;  // the borrowed connection, for good
    std::shared_ptr<Observer> observer_;
};

// 64 bits from the system's generator.
std::uint64_t random_bits();

}  // namespace parti::runtime
