// examples/fenced_progress: exact sums in a store of the user's, although its workers are killed and stopped.
#include "consume_fixture.h"

#include <fstream>

namespace parti::test {
namespace {

using namespace std::chrono_literals;

class ConsumeExample : public ConsumeTest {
protected:
    std::unique_ptr<ChildProcess> start() {
        ProcessOptions options;
        options.path = PARTI_FENCED_PROGRESS_FILE;
        options.args = {server_->url(), folder_->path(), "1000", "1001", "1002", "1003"};
        options.stdout_to = StdoutTo::null;
        auto process = ChildProcess::start(std::move(options));
        if (!process) throw std::runtime_error(process.error());
        return std::make_unique<ChildProcess>(std::move(*process));
    }
    long long total(const std::string& partition) const {
        std::ifstream in(folder_->path() + "/" + partition);
        std::uint64_t epoch = 0, version = 0, sequence = 0;
        long long sum = 0;
        in >> epoch >> version >> sequence >> sum;
        return sum;
    }
};

TEST_F(ConsumeExample, FencedProgressIsExactWhenWorkersAreKilled) {
    make_stream();
    const auto partitions = ids(4);
    auto a = start();
    auto b = start();
    publish(partitions, 200);
    ASSERT_TRUE(eventually([&] { return total("orders.1000") > 0; }));
    a->kill_now();
    publish(partitions, 100);
    for (const char* id : {"orders.1000", "orders.1001", "orders.1002", "orders.1003"}) {
        EXPECT_TRUE(eventually([&] { return total(id) >= 300 * 299 / 2; })) << id << ": " << total(id);
        EXPECT_EQ(total(id), 300 * 299 / 2) << id;
    }
    ASSERT_TRUE(b->send_line("stop"));
    EXPECT_EQ(b->wait(Seconds(10)).value_or(ExitStatus{}).code, 0);
}

}  // namespace
}  // namespace parti::test
