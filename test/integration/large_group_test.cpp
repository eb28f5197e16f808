// Groups of a hundred thousand partitions and of hundreds of workers, on a real server.
#include "large_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;

TEST_F(LargeGroup, AHundredThousandPartitionsOfOneWorkerMoveAndSurviveTheirLeader) {
    hand_over_everything(kMany);
    const auto stats = read_server_stats(server_->monitor_url());
    ASSERT_TRUE(stats) << stats.error();
    // One message of each chunk key at most, whatever happened: two sets for each of the numbers used.
    const StreamInfo* stream = stats->stream("KV_parti_g_assignment");
    ASSERT_NE(stream, nullptr);
    std::printf("the bucket holds %llu messages, %llu bytes\n", static_cast<unsigned long long>(stream->messages),
                static_cast<unsigned long long>(stream->bytes));
    EXPECT_LE(stream->messages, 1U + 3U * (1U + 2U * 12U));
}

TEST_F(LargeGroup, AServerThatTakesShortMessagesOnlyIsServedTheSameWay) {
    NatsServerOptions options;
    options.extra_config = "max_payload: 65536\n";
    serve(options);
    hand_over_everything(kMany / 5);
}

TEST_F(LargeGroup, AServerWhoseMessagesAreTooShortForAnyRecordIsNamed) {
    NatsServerOptions options;
    options.extra_config = "max_payload: 1000\n";
    serve(options);
    Context context = connect();
    Worker w = worker(context, source(3));
    w.start();
    const auto waited = w.wait_for(State::stable, 20s);
    ASSERT_FALSE(waited);
    EXPECT_EQ(waited.error().code, Errc::unsupported_server) << waited.error().message();
    EXPECT_NE(waited.error().detail.find("at most 1000 bytes (max_payload); parti needs 1024"), std::string::npos)
        << waited.error().detail;
    EXPECT_EQ(w.state(), State::stopped);
    EXPECT_TRUE(w.stop());
}

TEST_F(LargeGroup, TwoHundredWorkersShareAThousandPartitionsAndLoseTheirLeader) { share_and_lose_the_leader(200); }

}  // namespace
}  // namespace parti::test
