// What is measured: parti's Consumer, on one worker that owns every partition.
#include <parti/consumer.h>
#include <parti/parti.h>

#include <thread>

#include "bench.h"
#include "testutil/worker_process.h"

namespace parti::bench {
namespace {

using test::failure;

constexpr std::chrono::seconds kAttach{30};

class Subject final : public Consuming {
public:
    Outcome<void> prepare(const ChildOptions& options, Tally& tally) override {
        partitions_ = options.partitions;
        ConnectOptions connect;
        connect.urls = {options.url};
        connect.callback_threads = options.threads;
        auto context = Context::connect(std::move(connect));
        if (!context) return failure(context.error().message());
        context_.emplace(std::move(*context));
        std::vector<Partition> partitions;
        for (std::uint32_t i = 0; i < options.partitions; ++i) partitions.push_back(*Partition::from_id(partition_name(i)));
        auto source = StaticSource::make(std::move(partitions));
        if (!source) return failure(source.error().message());
        Config config;
        config.group = "bench";
        config.expected_workers = 1;
        auto worker = Worker::make(*context_, config, *source);
        if (!worker) return failure(worker.error().message());
        worker_.emplace(std::move(*worker));
        ConsumerConfig consume;
        consume.stream = kStream;
        consume.subject = "bench.{1}";
        consume.max_ack_pending = options.pending;
        consume.ack_wait = std::chrono::seconds(30);
        if (options.partitions > consume.consumers_max) consume.consumers_max = options.partitions;
        auto consumer = Consumer::make(*worker_, consume, [&tally](Message& message) -> Result<void> {
            tally.taken(message.payload());
            return {};
        });
        if (!consumer) return failure(consumer.error().message());
        consumer_.emplace(std::move(*consumer));
        // Owning first: what is measured is consuming, not being assigned.
        worker_->start();
        if (auto ok = worker_->wait_for(State::stable, std::chrono::seconds(30)); !ok) return failure(ok.error().message());
        return {};
    }

    Outcome<void> go() override {
        if (auto ok = consumer_->start(); !ok) return failure(ok.error().message());
        const std::int64_t deadline = test::boot_now_ns() + std::chrono::nanoseconds(kAttach).count();
        while (consumer_->stats().consuming < partitions_) {
            if (test::boot_now_ns() > deadline)
                return failure("not every durable is attached after " + std::to_string(kAttach.count()) + " s");
            std::this_thread::sleep_for(Milliseconds(5));  // the pause between two looks
        }
        return {};
    }

    Outcome<void> stop() override {
        if (auto ok = consumer_->stop(); !ok) return failure(ok.error().message());
        consumer_.reset();
        if (auto ok = worker_->stop(); !ok) return failure(ok.error().message());
        return {};
    }

private:
    std::uint32_t partitions_ = 0;
    std::optional<Context> context_;
    std::optional<Worker> worker_;
    std::optional<Consumer> consumer_;
};

}  // namespace

std::unique_ptr<Consuming> make_subject() { return std::make_unique<Subject>(); }

}  // namespace parti::bench
