// Exact results in a store of your own, although messages may be delivered twice: fenced_progress URL FOLDER PARTITION...
//
// Adds up the numbers that come under orders.<PARTITION>. The store keeps, in one write, the result, how far it has got (the
// message's sequence) and who wrote it (the fencing token). It refuses a smaller token, so a worker that was stopped for a while
// and does not know yet that it has been replaced cannot undo anything; and it skips a sequence that it has, so a message that
// comes again changes nothing. Here the store is a folder, locked per write. In a database it is one statement:
//   UPDATE totals SET total = total + :amount, sequence = :sequence, epoch = :epoch, version = :version
//   WHERE partition = :partition AND sequence < :sequence AND (epoch, version) <= (:epoch, :version)
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iostream>

#include <parti/parti.h>

namespace {

struct Row {
    parti::Fence fence;
    std::uint64_t sequence = 0;
    long long total = 0;
};

class Store {
public:
    explicit Store(std::string folder) : folder_(std::move(folder)) {}

    parti::Result<void> add(const parti::Ownership& owner, std::uint64_t sequence, long long amount) const {
        const std::string file = folder_ + "/" + owner.partition().id();
        const int lock = ::open((file + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (lock < 0 || ::flock(lock, LOCK_EX) != 0) return parti::fail(parti::Errc::not_ready, "cannot lock " + file);
        auto written = write(file, owner.fence(), sequence, amount);
        ::close(lock);
        return written;
    }

private:
    static parti::Result<void> write(const std::string& file, parti::Fence fence, std::uint64_t sequence, long long amount) {
        Row row;
        std::ifstream(file) >> row.fence.epoch.value >> row.fence.version >> row.sequence >> row.total;
        if (fence < row.fence) return parti::fail(parti::Errc::lease_lost, "a newer owner has written " + file);
        if (sequence <= row.sequence) return {};  // it has this message
        std::ofstream out(file + ".new");
        out << fence.epoch.value << ' ' << fence.version << ' ' << sequence << ' ' << row.total + amount << std::endl;
        out.close();
        if (!out || std::rename((file + ".new").c_str(), file.c_str()) != 0)
            return parti::fail(parti::Errc::not_ready, "cannot write " + file);
        return {};
    }
    std::string folder_;
};

}  // namespace

int main(int argc, char** argv) try {
    if (argc < 4) {
        std::cerr << "usage: fenced_progress URL FOLDER PARTITION..." << std::endl;
        return 2;
    }
    auto context = parti::Context::connect({.urls = {argv[1]}}).value();
    std::vector<parti::Partition> partitions;
    for (int i = 3; i < argc; ++i) partitions.push_back(parti::Partition::make({"orders", argv[i]}).value());
    parti::Config group;
    group.group = "totals";
    group.timing = parti::aggressive_timing();
    auto worker = parti::Worker::make(context, group, parti::StaticSource::make(std::move(partitions)).value()).value();
    const Store store(argv[2]);
    parti::ConsumerConfig config;
    config.stream = "ORDERS";
    config.subject = "orders.{1}";
    const auto handle = [&store](parti::Message& message) {
        return store.add(message.ownership(), message.sequence(), std::stoll(std::string(message.payload())));
    };
    auto consumer = parti::Consumer::make(worker, config, handle).value();
    if (auto started = consumer.start(); !started) {
        std::cerr << started.error().message() << std::endl;
        return 1;
    }
    worker.start();
    std::cin.get();
    return worker.stop() ? 0 : 1;
} catch (const tl::bad_expected_access<parti::Error>& refused) {
    std::cerr << refused.error().message() << std::endl;
    return 1;
}
