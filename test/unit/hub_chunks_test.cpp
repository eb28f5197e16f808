// Assignment records that do not fit into one message, over the simulated client: whole or not at all, whoever writes when.
#include "hub_chunks_bench.h"

namespace parti::runtime {
namespace {

TEST_F(HubChunks, ALargeRecordArrivesWholeAndOnce) {
    Process& writer = process();
    Process& reader = process();
    reader.watch();
    writer.watch();
    ASSERT_TRUE(run_until([&] { return reader.all<SnapshotDone>().size() == 1; }));
    const auto large = record({{1, 1}, 1}, 60, 1);
    const WriteAnswered answer = write(writer, 0, large);
    ASSERT_EQ(answer.result, WriteResult::done);
    EXPECT_GE(written_.count("worker.7.a.3"), 1U) << "it was to be of several chunks";
    ASSERT_TRUE(run_until([&] { return reader.entries().size() == 1 && writer.entries().size() == 1; }));
    for (const Process* p : {&reader, &writer}) {
        EXPECT_EQ(p->entries()[0].entry.revision, answer.revision);
        expect_record(p->entries()[0].entry.value, *large);
        EXPECT_TRUE(p->log.empty()) << p->log[0];
    }
    EXPECT_EQ(std::get<AssignmentPtr>(writer.entries()[0].entry.value).get(), large.get()) << "its own need not be read back";
    // Somebody who comes later hears of it before it is told that this was all, and a fetch finds it.
    Process& late = process();
    late.watch();
    ASSERT_TRUE(run_until([&] { return !late.all<SnapshotDone>().empty(); }));
    ASSERT_EQ(late.entries().size(), 1U);
    expect_record(late.entries()[0].entry.value, *large);
    EXPECT_TRUE(std::holds_alternative<SnapshotDone>(late.events.back()));
    late.hub->fetch(late.member, {{99, 1}, Bucket::assignment, kKey});
    ASSERT_TRUE(run_until([&] { return !late.all<core::FetchAnswered>().empty(); }));
    ASSERT_TRUE(late.all<core::FetchAnswered>()[0].entry.has_value());
    expect_record(late.all<core::FetchAnswered>()[0].entry->value, *large);
    const auto small = record({{1, 1}, 2}, 1, 1);
    ASSERT_EQ(write(writer, answer.revision, small).result, WriteResult::done);
    ASSERT_TRUE(run_until([&] { return reader.entries().size() == 2; }));
    expect_record(reader.entries()[1].entry.value, *small);
}

TEST_F(HubChunks, SetsTakeTurnsAndKeysStayBounded) {
    Process& writer = process();
    Revision revision = 0;
    std::set<std::string> keys;
    for (std::uint64_t i = 1; i <= 30; ++i) {
        const auto r = record({{1, 1}, i}, 30 + i % 4 * 10, i);
        const WriteAnswered answer = write(writer, revision, r);
        ASSERT_EQ(answer.result, WriteResult::done);
        revision = answer.revision;
        expect_record(stored(store_), *r);
        if (i == 8) {
            for (const auto& [key, times] : written_) keys.insert(key);
        }
    }
    std::set<std::string> at_the_end;
    for (const auto& [key, times] : written_) at_the_end.insert(key);
    EXPECT_EQ(at_the_end, keys);
    EXPECT_TRUE(keys.contains("worker.7.b.0"));
    EXPECT_LE(keys.size(), 17U);
}

TEST_F(HubChunks, UnchangedListsKeepTheirChunks) {
    Process& first = process();
    const auto r = record({{1, 1}, 1}, 50, 1);
    const WriteAnswered answer = write(first, 0, r);
    const std::size_t before = chunks_written();
    Process& second = process();  // a new leader seals
    auto sealed = std::make_shared<AssignmentRecord>(*r);
    sealed->id = {{2, 2}, 1};
    sealed->fence = {{2}, 1};
    const WriteAnswered seal = write(second, answer.revision, sealed);
    EXPECT_EQ(seal.result, WriteResult::done);
    EXPECT_EQ(chunks_written(), before) << "one short message";
    expect_record(stored(store_), *sealed);
    EXPECT_EQ(write(first, answer.revision, record({{1, 1}, 2}, 50, 2)).result, WriteResult::wrong_revision);
    expect_record(stored(store_), *sealed);
}

TEST_F(HubChunks, WhoDiedBetweenChunksAndCommitLeavesNothingTorn) {
    Process& first = process();
    const auto r = record({{1, 1}, 1}, 50, 1);
    const WriteAnswered answer = write(first, 0, r);
    // Its chunks arrive, its commit is under way for a long time.
    first.put(++operation_, 1, answer.revision, record({{1, 1}, 2}, 50, 2));
    ASSERT_TRUE(run_until([&] { return written_.count("worker.7.b.2") != 0; }));
    processes_.erase(processes_.begin());
    const std::size_t mains = written_["worker.7"];
    Process& second = process();
    const auto next = record({{2, 2}, 1}, 50, 3);
    const WriteAnswered refused = write(second, answer.revision, next);
    // The set was begun by another: the record is written again as it is, so that the other's commit cannot succeed.
    ASSERT_EQ(refused.result, WriteResult::wrong_revision);
    EXPECT_GT(refused.revision, answer.revision);
    EXPECT_EQ(written_["worker.7"], mains + 1);
    expect_record(stored(store_), *r);
    EXPECT_EQ(write(second, refused.revision, next).result, WriteResult::done);
    expect_record(stored(store_), *next);
}

TEST_F(HubChunks, AMeddledChunkIsAnErrorAndTheNextRecordHeals) {
    Process& writer = process();
    const WriteAnswered answer = write(writer, 0, record({{1, 1}, 1}, 50, 1));
    store_.overwrite(kAssignment, "worker.7.a.1", std::make_shared<const std::string>("gone"));
    Process& reader = process();
    reader.watch();
    ASSERT_TRUE(run_until([&] { return !reader.all<SnapshotDone>().empty(); }));
    ASSERT_EQ(reader.entries().size(), 1U);
    const RecordValue damaged = reader.entries()[0].entry.value;
    const auto* bad = std::get_if<UnreadablePtr>(&damaged);
    ASSERT_NE(bad, nullptr);
    EXPECT_NE((*bad)->error.detail.find("worker.7.a.1 is not one"), std::string::npos) << (*bad)->error.detail;
    EXPECT_FALSE((*bad)->future);
    const auto next = record({{1, 1}, 2}, 50, 2);
    ASSERT_EQ(write(writer, answer.revision, next).result, WriteResult::done);
    ASSERT_TRUE(run_until([&] { return reader.entries().size() == 2; }));
    expect_record(reader.entries()[1].entry.value, *next);
    // Chunks of another record, well formed.
    const std::string other = wire::encode_chunk({{{3, 3}, 3}, 0, "xyz"});
    store_.overwrite(kAssignment, "worker.7.b.0", std::make_shared<const std::string>(other));
    Process& late = process();
    late.watch();
    ASSERT_TRUE(run_until([&] { return !late.all<SnapshotDone>().empty(); }));
    ASSERT_TRUE(std::holds_alternative<UnreadablePtr>(late.entries().at(0).entry.value));
    // The same lists again, by one who knows that their chunks are damaged: they are written anew.
    const auto again = record({{2, 2}, 1}, 50, 2);
    ASSERT_EQ(write(late, late.entries().at(0).entry.revision, again).result, WriteResult::done);
    ASSERT_TRUE(run_until([&] { return reader.entries().size() == 3; }));
    expect_record(reader.entries()[2].entry.value, *again);
}

TEST_F(HubChunks, SilenceIsNotTakenForDamage) {
    Process& writer = process();
    const auto r = record({{1, 1}, 1}, 50, 1);
    ASSERT_EQ(write(writer, 0, r).result, WriteResult::done);
    Process& reader = process();
    reader.watch();
    std::size_t seen = 0;
    ASSERT_TRUE(run_until([&] { return reader.client->stats().watch_messages > seen; }));
    network_.server_down();
    ASSERT_FALSE(run_until([&] { return !reader.entries().empty() || !reader.all<SnapshotDone>().empty(); }, 30 * kSecond));
    network_.server_start();
    ASSERT_TRUE(run_until([&] { return !reader.all<SnapshotDone>().empty(); }));
    ASSERT_EQ(reader.entries().size(), 1U);
    expect_record(reader.entries()[0].entry.value, *r);
}

TEST_F(HubChunks, ARecordTooLargeForAnyFormIsRefusedByName) {
    Process& writer = process();
    auto lease = std::make_shared<LeaseRecord>();
    lease->id = {{1, 1}, 1};
    lease->instance = std::string(2 * kPayload, 'x');
    writer.hub->put(writer.member, {{1, 1}, Bucket::lease, kKey, 0, LeasePtr(lease)});
    ASSERT_TRUE(run_until([&] { return !writer.all<WriteAnswered>().empty(); }));
    const WriteAnswered said = writer.all<WriteAnswered>()[0];
    EXPECT_EQ(said.result, WriteResult::no_information);
    EXPECT_NE(said.detail.find("at most 700"), std::string::npos) << said.detail;
    EXPECT_NE(said.detail.find("'worker.7'"), std::string::npos) << said.detail;
}

TEST_F(HubChunks, NobodyIsToldThatThisWasAllBeforeItsOwnRecordIsRead) {
    Process& writer = process();
    const auto r = record({{1, 1}, 1}, 50, 1);
    ASSERT_EQ(write(writer, 0, r).result, WriteResult::done);
    Process& reader = process();
    reader.watch_own();
    hears_no_chunks(reader, 3 * kSecond);
    ASSERT_FALSE(run_until([&] { return !reader.all<SnapshotDone>().empty(); }, 2 * kSecond));
    ASSERT_TRUE(run_until([&] { return !reader.all<SnapshotDone>().empty(); }));
    ASSERT_EQ(reader.entries().size(), 1U);
    expect_record(reader.entries()[0].entry.value, *r);
}

TEST_F(HubChunks, ANewerRecordTakesThePlaceOfOneThatIsBeingRead) {
    Process& writer = process();
    const WriteAnswered answer = write(writer, 0, record({{1, 1}, 1}, 50, 1));
    Process& reader = process();
    reader.watch_own();
    hears_no_chunks(reader, 10 * kSecond);
    ASSERT_FALSE(run_until([&] { return !reader.all<SnapshotDone>().empty(); }, kSecond));
    const auto small = record({{1, 1}, 2}, 1, 2);
    store_.overwrite(kAssignment, "worker.7", std::make_shared<const std::string>(wire::encode(small)));
    ASSERT_TRUE(run_until([&] { return !reader.all<SnapshotDone>().empty(); }, kSecond)) << "this was all, without the chunks";
    ASSERT_FALSE(run_until([&] { return reader.entries().size() > 1; }, 15 * kSecond)) << "the older one is not told any more";
    ASSERT_EQ(reader.entries().size(), 1U);
    EXPECT_GT(reader.entries()[0].entry.revision, answer.revision);
    expect_record(reader.entries()[0].entry.value, *small);
}

TEST_F(HubChunks, ARecordThatIsNoLongerWantedWhileItIsReadIsNotKnownAfterwards) {
    Process& writer = process();
    const WriteAnswered first = write(writer, 0, record({{1, 1}, 1}, 50, 1));
    Process& reader = process();
    reader.watch();
    hears_no_chunks(reader, kSecond);
    core::Interest elsewhere;
    elsewhere.id = ++reader.interests;
    elsewhere.own_assignment = WorkerNumber{1};
    reader.hub->set_interest(reader.member, elsewhere);
    pass(10 * kSecond);
    ASSERT_EQ(reader.hub->watches(), 3U);
    ASSERT_TRUE(reader.entries().empty());
    const auto small = record({{1, 1}, 2}, 1, 2);
    ASSERT_EQ(write(writer, first.revision, small).result, WriteResult::done);
    reader.watch();
    ASSERT_TRUE(run_until([&] { return !reader.entries().empty(); }));
    pass(kSecond);
    ASSERT_EQ(reader.entries().size(), 1U) << "only what is there";
    expect_record(reader.entries()[0].entry.value, *small);
}

TEST_F(HubChunks, AfterALossTheOwnRecordIsReadLikeAnothers) {
    Process& writer = process();
    writer.watch();
    ASSERT_EQ(write(writer, 0, record({{1, 1}, 1}, 50, 1)).result, WriteResult::done);
    ASSERT_TRUE(run_until([&] { return writer.entries().size() == 1; }));
    store_.overwrite(kAssignment, "worker.7.a.1", std::make_shared<const std::string>("gone"));
    writer.hub->distrust(Bucket::assignment, "a test says so");
    ASSERT_TRUE(run_until([&] { return writer.entries().size() == 2; }));
    EXPECT_TRUE(std::holds_alternative<UnreadablePtr>(writer.entries()[1].entry.value));
}

// What is read as whole may be torn yet, by what was on its way when the store went back.
TEST_F(HubChunks, AfterALossTheSameListsAreWrittenWithChunksOfTheirOwn) {
    Process& first = process();
    const auto r = record({{1, 1}, 1}, 50, 1);
    Revision revision = write(first, 0, r).revision;
    Process& second = process();
    second.watch();
    second.hub->distrust(Bucket::assignment, "a test says so");
    ASSERT_TRUE(run_until([&] { return second.entries().size() == 1; }));
    for (const bool soon : {true, false}) {
        if (!soon) pass(61 * kSecond);
        auto sealed = std::make_shared<AssignmentRecord>(*r);
        sealed->id = {{2, 2}, soon ? 1U : 2U};
        sealed->fence = {{2}, soon ? 1U : 2U};
        const std::size_t before = chunks_written();
        const WriteAnswered answer = write(second, revision, sealed);
        ASSERT_EQ(answer.result, WriteResult::done);
        revision = answer.revision;
        EXPECT_EQ(chunks_written() > before, soon);
        expect_record(stored(store_), *sealed);
    }
}

TEST_F(HubChunks, ALossEndsTheReadingOfARecordFromBeforeIt) {
    Process& writer = process();
    Revision revision = 0;
    for (std::uint64_t i = 1; i <= 3; ++i) revision = write(writer, revision, record({{1, 1}, i}, 50, i)).revision;
    Process& reader = process();
    reader.watch_own();
    hears_no_chunks(reader, 3 * kSecond);
    store_.wipe(kAssignment);
    const auto small = record({{1, 1}, 9}, 1, 9);
    store_.overwrite(kAssignment, "worker.7", std::make_shared<const std::string>(wire::encode(small)));
    ASSERT_LT(store_.last(kAssignment, "worker.7")->revision, revision);
    ASSERT_TRUE(run_until([&] { return !reader.all<SnapshotDone>().empty(); }));
    ASSERT_EQ(reader.entries().size(), 1U) << "a lower revision is no older one here";
    expect_record(reader.entries()[0].entry.value, *small);
}

TEST_F(HubChunks, AWriteThatALossInterruptedBeginsAgainWithItsChunks) {
    Process& writer = process();
    writer.watch();
    const WriteAnswered first = write(writer, 0, record({{1, 1}, 1}, 50, 1));
    const auto before = store_.snapshot(kAssignment);
    network_.hold = [](const SimClient&, const std::string&, const std::string& key) { return key == "worker.7"; };
    const auto next = record({{1, 1}, 2}, 50, 2);
    writer.put(++operation_, 1, first.revision, next);
    ASSERT_TRUE(run_until([&] { return network_.held() == 1; }));  // its chunks are there, its commit is not, and gets lost
    network_.hold = nullptr;
    store_.restore(before);
    writer.hub->distrust(Bucket::assignment, "a test says so");  // chunks alone went: no watch can see that
    ASSERT_TRUE(run_until([&] { return !writer.all<core::HistoryLost>().empty(); }));
    pass(kSecond);
    writer.put(operation_, 2, first.revision, next);  // the record is what it was
    ASSERT_TRUE(run_until([&] { return writer.all<WriteAnswered>().size() > 1; }));
    ASSERT_EQ(writer.all<WriteAnswered>().back().result, WriteResult::done);
    expect_record(stored(store_), *next);
}

TEST_F(HubChunks, ChunksOfACommitThatMayStillArriveAreNotWrittenOver) {
    Process& writer = process();
    const WriteAnswered first = write(writer, 0, record({{1, 1}, 1}, 50, 1));
    network_.hold = [](const SimClient&, const std::string&, const std::string& key) { return key == "worker.7"; };
    const auto late = record({{1, 1}, 2}, 50, 2);
    writer.put(++operation_, 1, first.revision, late);
    ASSERT_TRUE(run_until([&] { return network_.held() == 1; }));
    writer.put(++operation_, 1, first.revision, record({{1, 1}, 3}, 50, 3));  // given up for another
    ASSERT_TRUE(run_until([&] { return network_.held() == 2; }));
    network_.hold = nullptr;
    network_.let_go();
    pass(kSecond);
    expect_record(stored(store_), *late);
}

TEST_F(HubChunks, AChunkWhoseAnswerWasLostIsKnownAgain) {
    Process& writer = process();
    const WriteAnswered first = write(writer, 0, record({{1, 1}, 1}, 50, 1));
    const std::size_t mains = written_["worker.7"];
    const std::uint64_t answers = writer.client->stats().answers;
    const auto next = record({{1, 1}, 2}, 50, 2);
    writer.put(++operation_, 1, first.revision, next);
    ASSERT_TRUE(run_until([&] { return writer.client->stats().answers == answers + 1; }));  // it has looked
    writer.client->lose_next_answer();                                                      // of the first chunk
    const std::size_t said = writer.all<WriteAnswered>().size();
    for (std::uint32_t attempt = 2; attempt < 6 && writer.all<WriteAnswered>().size() == said; ++attempt) {
        pass(1100 * kMilli);
        writer.put(operation_, attempt, first.revision, next);
    }
    ASSERT_TRUE(run_until([&] { return writer.all<WriteAnswered>().size() > said; }));
    EXPECT_EQ(writer.all<WriteAnswered>().back().result, WriteResult::done);
    EXPECT_EQ(written_["worker.7"], mains + 1) << "nothing had to be written in order to find out";
    expect_record(stored(store_), *next);
}

TEST_F(HubChunks, AWriteThatNobodyRepeatsIsForgotten) {
    Process& writer = process();
    network_.rates.request_lost = 1'000'000;
    writer.put(++operation_, 1, 0, record({{1, 1}, 1}, 50, 1));
    pass(10 * kSecond);
    const std::uint64_t ticks = writer.ticks;
    EXPECT_GT(ticks, 0U);
    pass(10 * kSecond);
    EXPECT_EQ(writer.ticks, ticks) << "the hub wakes up for nothing";
}

TEST_F(HubChunks, AServerThatTakesLessThanItDidGetsSmallerChunks) {
    Process& writer = process();
    const auto r = record({{1, 1}, 1}, 50, 1);
    network_.rates.request_lost = 1'000'000;
    writer.put(++operation_, 1, 0, r);
    pass(kSecond);
    network_.rates.request_lost = 0;
    network_.payload_bytes_max = 310;
    for (std::uint32_t attempt = 2; attempt < 12 && !std::holds_alternative<AssignmentPtr>(stored(store_)); ++attempt) {
        writer.put(operation_, attempt, 0, r);
        pass(kSecond);
    }
    expect_record(stored(store_), *r);
}

}  // namespace
}  // namespace parti::runtime
