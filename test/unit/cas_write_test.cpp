// One write, every way its answers may come, be late, be doubled or stay away..
#include "core/cas_write.h"

#include <gtest/gtest.h>

namespace parti::core {
namespace {

using namespace std::chrono_literals;

class CasWriteTest : public testing::Test {
protected:
    CasWriteTest() : env(Config{}, nullptr, 1, 1) { at(0ms); }

    void at(Duration when) {
        env.now = Instant{} + 1h + when;
        env.wake = Instant::max();
        out.clear();
        env.out = &out;
    }
    void begin(CasWrite::OnConflict on_conflict = CasWrite::OnConflict::look) {
        CasWrite::Request request;
        request.key = worker_key(WorkerNumber{3});
        request.expected = 7;
        request.id = kMine;
        request.record = lease(kMine);
        request.attempt = 100ms;
        request.on_conflict = on_conflict;
        write.begin(env, request);
    }
    static LeasePtr lease(WriteId id) {
        LeaseRecord record;
        record.id = id;
        record.session = id.writer;
        return std::make_shared<const LeaseRecord>(record);
    }
    static Entry entry(Revision revision, WriteId id) {
        return {Bucket::lease, worker_key(WorkerNumber{3}), revision, lease(id)};
    }
    static Entry absent() { return {Bucket::lease, worker_key(WorkerNumber{3}), 0, Absent{}}; }
    std::size_t puts() const {
        return static_cast<std::size_t>(
            std::count_if(out.begin(), out.end(), [](const Effect& e) { return std::holds_alternative<Put>(e); }));
    }
    std::size_t fetches() const {
        return static_cast<std::size_t>(
            std::count_if(out.begin(), out.end(), [](const Effect& e) { return std::holds_alternative<Fetch>(e); }));
    }
    auto answer(std::uint32_t attempt, WriteResult result, Revision revision) {
        return write.on_answer(env, {{1, attempt}, result, revision, {}});
    }

    static constexpr WriteId kMine{{1, 1}, 5};
    static constexpr WriteId kOther{{2, 2}, 9};
    Env env;
    Effects out;
    CasWrite write;
};

TEST_F(CasWriteTest, AnAnswerSettlesIt) {
    begin();
    EXPECT_EQ(puts(), 1U);
    const auto done = answer(1, WriteResult::done, 8);
    ASSERT_TRUE(done);
    EXPECT_EQ(done->kind, CasWrite::Kind::stored);
    EXPECT_EQ(done->revision, 8U);
    EXPECT_FALSE(write.busy());
    EXPECT_FALSE(answer(1, WriteResult::done, 8)) << "a doubled answer says nothing";
    EXPECT_FALSE(answer(1, WriteResult::wrong_revision, 8));
}

TEST_F(CasWriteTest, SilenceRepeatsTheSameBytesWithTheSameExpectation) {
    begin();
    const Put first = std::get<Put>(out.front());
    at(99ms);
    write.on_time(env);
    EXPECT_EQ(puts(), 0U);
    EXPECT_EQ(env.wake, Instant{} + 1h + 100ms);
    at(100ms);
    write.on_time(env);
    ASSERT_EQ(puts(), 1U);
    const Put second = std::get<Put>(out.front());
    EXPECT_EQ(std::get<LeasePtr>(second.record), std::get<LeasePtr>(first.record));
    EXPECT_EQ(second.expected, first.expected);
    EXPECT_EQ(second.token.operation, first.token.operation);
    EXPECT_EQ(second.token.attempt, 2U);
    EXPECT_EQ(write.first_sent(), Instant{} + 1h) << "a lease counts from the first attempt";
}

TEST_F(CasWriteTest, AnotherRejectionSaysNothing) {
    begin();
    EXPECT_FALSE(answer(1, WriteResult::no_information, 0));
    EXPECT_TRUE(write.busy());
    EXPECT_EQ(puts() + fetches(), 1U) << "repeated in its time, not at once";
}

TEST_F(CasWriteTest, ALateAnswerOfAnEarlierAttemptCounts) {
    begin();
    at(100ms);
    write.on_time(env);
    const auto done = answer(1, WriteResult::done, 8);
    ASSERT_TRUE(done);
    EXPECT_EQ(done->kind, CasWrite::Kind::stored);
}

TEST_F(CasWriteTest, OneAttemptRefusedIsLostForCertain) {
    begin(CasWrite::OnConflict::just_tell);
    const auto done = answer(1, WriteResult::wrong_revision, 12);
    ASSERT_TRUE(done);
    EXPECT_EQ(done->kind, CasWrite::Kind::lost);
    EXPECT_EQ(done->revision, 12U);
}

TEST_F(CasWriteTest, TheSecondAttemptRefusedByTheFirstIsStored) {
    begin(CasWrite::OnConflict::just_tell);
    at(100ms);
    write.on_time(env);
    out.clear();
    EXPECT_FALSE(answer(2, WriteResult::wrong_revision, 8));
    EXPECT_EQ(fetches(), 1U) << "the answer to the first was lost: look";
    const auto done = write.on_fetch(env, {{1, 2}, entry(8, kMine)});
    ASSERT_TRUE(done);
    EXPECT_EQ(done->kind, CasWrite::Kind::stored);
    EXPECT_EQ(done->revision, 8U);
}

TEST_F(CasWriteTest, TheSecondAttemptRefusedByAnotherIsLost) {
    begin();
    at(100ms);
    write.on_time(env);
    EXPECT_FALSE(answer(2, WriteResult::wrong_revision, 8));
    EXPECT_FALSE(write.on_entry(env, entry(7, kOther))) << "older than the conflict";
    const auto done = write.on_entry(env, entry(8, kOther));
    ASSERT_TRUE(done);
    EXPECT_EQ(done->kind, CasWrite::Kind::lost);
    ASSERT_TRUE(done->entry);
    EXPECT_EQ(done->entry->revision, 8U);
}

TEST_F(CasWriteTest, TheWatchMayTellBeforeTheAnswer) {
    begin();
    EXPECT_FALSE(write.on_entry(env, entry(8, kOther))) << "it may have been stored before that and overwritten";
    const auto done = write.on_entry(env, entry(9, kMine));
    ASSERT_TRUE(done);
    EXPECT_EQ(done->kind, CasWrite::Kind::stored);
    EXPECT_EQ(done->revision, 9U);
}

TEST_F(CasWriteTest, ALostFetchIsRepeated) {
    begin();
    at(100ms);
    write.on_time(env);
    EXPECT_FALSE(answer(2, WriteResult::wrong_revision, 8));
    EXPECT_FALSE(write.on_fetch(env, {{1, 2}, std::nullopt}));
    at(200ms);
    write.on_time(env);
    EXPECT_EQ(fetches(), 1U);
    const auto done = write.on_fetch(env, {{1, 2}, absent()});
    ASSERT_TRUE(done);
    EXPECT_EQ(done->kind, CasWrite::Kind::lost) << "the key is gone";
}

TEST_F(CasWriteTest, AnswersToAnOlderWriteAreIgnored) {
    begin();
    ASSERT_TRUE(answer(1, WriteResult::done, 8));
    CasWrite::Request request = write.request();
    request.record = lease(kMine);
    write.begin(env, request);
    EXPECT_FALSE(answer(1, WriteResult::done, 9));
    EXPECT_TRUE(write.busy());
    EXPECT_TRUE(write.on_answer(env, {{2, 1}, WriteResult::done, 10, {}}));
}

}  // namespace
}  // namespace parti::core
