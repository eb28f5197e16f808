// consume-child: one worker with a consumer in a process of its own, for tests that kill and stop it.
//
//   consume-child URL PARTITIONS [ACK_WAIT_MS]     group "g", partitions p.1000 ..., stream ORDERS, subject orders.{1},
//                                                  max_ack_pending 1
//
// With ACK_WAIT_MS its lease outlives every pause that a test makes.
//
// Prints "ready", then one line per handled message before it is acknowledged: CLOCK_MONOTONIC in ns, partition, payload. A line
// on stdin, or its end, stops it gracefully.
#include <chrono>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <string>

#include <parti/parti.h>

namespace {

long long monotonic_ns() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<long long>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

parti::Result<void> print(parti::Message& message) {
    std::printf("%lld %s %.*s\n", monotonic_ns(), message.ownership().partition().id().c_str(),
                static_cast<int>(message.payload().size()), message.payload().data());
    std::fflush(stdout);
    return {};
}

int run(const std::string& url, int count, std::chrono::milliseconds ack_wait) {
    auto context = parti::Context::connect({.urls = {url}}).value();
    std::vector<parti::Partition> partitions;
    for (int i = 0; i < count; ++i) partitions.push_back(parti::Partition::from_id("p." + std::to_string(1000 + i)).value());
    parti::Config config;
    config.group = "g";
    config.timing = parti::fast_test_timing();
    if (ack_wait.count() > 0) {
        config.timing.ttl = std::chrono::minutes(2);
        config.timing.margin = std::chrono::seconds(15);
    }
    auto worker = parti::Worker::make(context, config, parti::StaticSource::make(std::move(partitions)).value()).value();
    parti::ConsumerConfig consuming;
    consuming.stream = "ORDERS";
    consuming.subject = "orders.{1}";
    consuming.prefix = "c";
    if (ack_wait.count() > 0) consuming.ack_wait = ack_wait;
    auto consumer = parti::Consumer::make(worker, consuming, print).value();
    if (const auto started = consumer.start(); !started) {
        std::cerr << started.error().message() << std::endl;
        return 1;
    }
    worker.start();
    std::puts("ready");
    std::fflush(stdout);
    std::cin.get();
    return worker.stop() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 3 && argc != 4) return 2;
    return run(argv[1], std::stoi(argv[2]), std::chrono::milliseconds(argc == 4 ? std::stoi(argv[3]) : 0));
} catch (const tl::bad_expected_access<parti::Error>& refused) {
    std::cerr << refused.error().message() << std::endl;
    return 1;
}
