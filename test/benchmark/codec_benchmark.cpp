// Per record: what the wire costs. A worker writes one lease per heartbeat; a leader reads all of them.
#include <benchmark/benchmark.h>

#include "digest.h"
#include "wire/codec.h"

namespace parti::test {
namespace {

RecordValue lease() {
    LeaseRecord out;
    out.id = {{0x0123456789abcdef, 0xfedcba9876543210}, 4711};
    out.incarnation = {3};
    out.session = out.id.writer;
    out.instance = "orders-7";
    out.process = 0xfeedbeef;
    out.applied = {{12}, 345};
    out.floor = {12};
    out.zone = "eu-1";
    return std::make_shared<const LeaseRecord>(std::move(out));
}
RecordValue head() {
    HeadRecord out;
    out.id = {{1, 2}, 9};
    out.epoch = {12};
    out.version = 7;
    out.leader = {{4}, {3}, {1, 2}};
    out.slots = 50;
    out.standbys = {{7}, {9}};
    out.partition_count = 500;
    return std::make_shared<const HeadRecord>(std::move(out));
}
RecordValue assignment(std::int64_t partitions) {
    AssignmentRecord out;
    out.id = {{1, 2}, 9};
    out.fence = {{12}, 7};
    out.incarnation = {3};
    out.session = {5, 6};
    for (std::int64_t i = 0; i < partitions; ++i) {
        out.partitions.push_back(Partition::from_id("orders.eu." + std::to_string(1'000'000 + i), 1 + i % 2).value());
    }
    return std::make_shared<const AssignmentRecord>(std::move(out));
}

void encode_record(benchmark::State& state, const RecordValue& record) {
    std::string bytes;
    for (auto _ : state) {
        bytes = wire::encode(record);
        benchmark::DoNotOptimize(bytes.data());
    }
    state.SetLabel(digest_label(digest_of(bytes)));
    state.counters["bytes"] = static_cast<double>(bytes.size());
}
void decode_record(benchmark::State& state, Bucket bucket, const Key& key, const RecordValue& record) {
    const std::string bytes = wire::encode(record);
    RecordValue decoded;
    for (auto _ : state) {
        decoded = wire::decode(bucket, key, bytes);
        benchmark::DoNotOptimize(decoded);
    }
    if (std::holds_alternative<UnreadablePtr>(decoded)) return state.SkipWithError("the record was refused");
    state.SetLabel(digest_label(digest_of(wire::encode(decoded))));
}

void BM_Encode_Lease(benchmark::State& state) { encode_record(state, lease()); }
void BM_Decode_Lease(benchmark::State& state) { decode_record(state, Bucket::lease, worker_key({7}), lease()); }
void BM_Encode_Head(benchmark::State& state) { encode_record(state, head()); }
void BM_Decode_Head(benchmark::State& state) { decode_record(state, Bucket::assignment, head_key(), head()); }
void BM_Encode_Assignment(benchmark::State& state) { encode_record(state, assignment(state.range(0))); }
void BM_Decode_Assignment(benchmark::State& state) {
    decode_record(state, Bucket::assignment, worker_key({7}), assignment(state.range(0)));
}

BENCHMARK(BM_Encode_Lease);
BENCHMARK(BM_Decode_Lease);
BENCHMARK(BM_Encode_Head);
BENCHMARK(BM_Decode_Head);
BENCHMARK(BM_Encode_Assignment)->Arg(10)->Arg(500)->Arg(10'000)->Unit(benchmark::kMicrosecond);
BENCHMARK(BM_Decode_Assignment)->Arg(10)->Arg(500)->Arg(10'000)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace parti::test
