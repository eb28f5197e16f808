// ConsumerImpl: binds a worker's partitions to lanes and feeds.
//
// Model     One Unit a grant: its lane, and (per_partition) its feed. A loss closes the lane, ends the pull, waits for what is
//           held, gives back what was not begun, and then lets go of the worker's `done`. The drain timeout ends all that: the
//           lane is released, after which nothing but acks of success are sent.
// Threads   As each block says.
// Lifetime  ConsumerHandle holds it; posts and hooks hold it weakly. Keeps the worker.
// Source    P-9, P-10; PROTOCOL.md, "Consuming".
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <parti/consumer.h>

#include "consume/feed.h"
#include "consume/lane.h"
#include "consume/naming.h"
#include "consume/runner.h"
#include "consume/worker_feed.h"
#include "runtime/assignment_hook.h"
#include "runtime/source_reader.h"
#include "runtime/timers.h"
#include "runtime/worker_impl.h"

namespace parti::consume {

class ConsumerImpl final : public runtime::AssignmentHook, public std::enable_shared_from_this<ConsumerImpl> {
public:
    ConsumerImpl(std::shared_ptr<runtime::WorkerImpl> worker, ConsumerConfig config, Handler handler, SubjectTemplate subject,
                 std::optional<SubjectTemplate> dead_letter);
    ~ConsumerImpl() override;

    // Any thread but the context's own.
    Result<void> start();
    Result<void> stop();
    // Any thread.
    ConsumerStats stats();
    std::vector<std::pair<std::string, std::string>> troubles();
    const std::string& group() const { return worker_->shell->config().group; }
    const std::string& stream() const { return config_.stream; }
    void shutdown();  // the handle goes

    // Io thread.
    void gained(std::span<const runtime::HookGrant> grants) override;
    void lost(std::span<const std::uint64_t> grants, std::function<void()> done) override;
    void released(std::span<const std::uint64_t> grants) override;
    void worker_finished() override;

private:
    struct Unit {
        std::shared_ptr<runtime::OwnershipState> state;
        std::string subject;
        std::shared_ptr<Lane> lane;
        std::shared_ptr<Feed> feed;  // per_partition
        std::string trouble;         // why it has neither
        bool draining = false;
        bool ending = false;   // of the pull
        core::Instant end_by;  // then it is ended whatever may be on its way
        bool pull_over = false;
        bool looking = false;  // at the durable, or for what it lost its place by
        bool settled = false;  // the server has forgotten our pulls and taken in our acks, as far as one can tell
        std::uint32_t looks = 0;
        std::optional<core::Instant> settle_by;  // from the first look's answer on
        std::optional<core::Instant> take_by;    // of a message that is taken to be acknowledged
        std::shared_ptr<void> done;              // lets go of the worker's `done`
    };
    using Units = std::map<std::uint64_t, Unit>;
    struct Answer {
        std::string bytes;
        std::optional<jetstream::ApiError> error;
    };

    // Start (consumer_start.cpp).
    Result<void> check();
    runtime::PartitionNews ask_source();
    Result<void> check_stream(const jetstream::StreamFacts& facts) const;
    Result<void> check_partitions(const PartitionSet& partitions, const jetstream::StreamFacts& facts) const;
    Result<void> check_version(const std::string& version) const;
    Result<Answer> ask(const std::string& subject, const std::string& body) const;
    void make_shop();

    // Units.
    void add(const runtime::HookGrant& grant);
    void open_feed(std::uint64_t grant, Unit& unit);
    void start_waiting();
    void make_worker_feed();  // per_worker
    void route(jetstream::Message message);
    void let_go_of_lost();
    static std::shared_ptr<void> both(std::shared_ptr<void> a, std::shared_ptr<void> b);  // of what is to be let go
    void drain(std::uint64_t grant, Unit& unit);
    void end_when_quiet(std::uint64_t grant, Unit& unit);
    void pull_ended(std::uint64_t grant);
    void look_again(std::uint64_t grant, Unit& unit);
    void looked(std::uint64_t grant, bool quiet, const std::optional<jetstream::DurableState>& state);
    void took(std::uint64_t grant, jetstream::Message message);
    void try_finish(std::uint64_t grant);
    Units::iterator drop(Units::iterator at);  // released: nothing is waited for
    void set_limits();
    void deliver(std::uint64_t grant, jetstream::Message message);
    void dead_letter(const std::shared_ptr<Delivery>& delivery, const std::string& why);
    void dead_lettered(const std::shared_ptr<Delivery>& delivery, const Result<void>& stored);
    void tick();
    void arm();
    void close_on_io();
    void post(std::function<void(ConsumerImpl&)> function) const;
    static void post_to(const std::shared_ptr<runtime::Poster>& poster, std::weak_ptr<const ConsumerImpl> weak,
                        std::function<void(ConsumerImpl&)> function);

    const std::shared_ptr<runtime::WorkerImpl> worker_;
    const std::shared_ptr<runtime::Poster> poster_;
    const SubjectTemplate subject_;
    const std::optional<SubjectTemplate> dead_letter_;
    ConsumerConfig config_;  // resolved
    Handler handler_;
    std::atomic<int> phase_{0};  // made, started, stopped

    std::shared_ptr<Shop> shop_;
    std::shared_ptr<Runner> runner_;
    std::shared_ptr<jetstream::Link> link_;
    std::string stream_created_;
    bool work_queue_ = false;

    // The io thread's.
    Units units_;
    std::shared_ptr<Flow> worker_flow_;  // per_worker
    std::uint64_t worker_pending_ = 0;
    std::shared_ptr<WorkerFeed> worker_feed_;                       // per_worker
    std::map<std::string, std::uint64_t, std::less<>> by_subject_;  // per_worker: what is owned now
    std::shared_ptr<runtime::SourceReader> reader_;                 // from start()
    std::unique_ptr<runtime::TimerQueue::Timer> timer_;
    std::uint64_t reconnects_ = 0;
    std::deque<std::uint64_t> waiting_;  // grants whose feed has not started
    std::uint32_t starting_ = 0;         // feeds that look for their durable for the first time
    bool closed_ = false;
};

class ConsumerHandle {
public:
    explicit ConsumerHandle(std::shared_ptr<ConsumerImpl> impl) : impl_(std::move(impl)) {}
    ~ConsumerHandle() { impl_->shutdown(); }
    ConsumerHandle(const ConsumerHandle&) = delete;
    ConsumerHandle& operator=(const ConsumerHandle&) = delete;
    ConsumerImpl* operator->() const { return impl_.get(); }

private:
    const std::shared_ptr<ConsumerImpl> impl_;
};

}  // namespace parti::consume
