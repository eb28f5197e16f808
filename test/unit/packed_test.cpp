// Records that are too long to be written plainly: packed behind their head, or in chunks.
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <string>
#include <vector>

#include <parti/source.h>

#include "base/rng.h"
#include "wire/codec.h"

namespace parti::wire {
namespace {

const Key kKey = worker_key({7});

// Ids of 40 letters and digits that no compressor can shorten by much.
std::vector<Partition> partitions(std::size_t count, std::uint64_t seed) {
    constexpr std::string_view kLetters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    base::Rng rng(seed);
    std::vector<Partition> out;
    out.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        std::string id(40, ' ');
        for (char& c : id) c = kLetters[rng.below(kLetters.size())];
        out.push_back(Partition::from_id(id, i % 5 == 0 ? 3 : 1).value());
    }
    std::sort(out.begin(), out.end());
    return out;
}

AssignmentRecord record(std::size_t count, std::uint64_t seed = 1) {
    AssignmentRecord out;
    out.id = {{0x1234, 0x5678}, 42};
    out.fence = {{9}, 77};
    out.incarnation = {3};
    out.session = {5, 6};
    out.keep_only = true;  // of the head, wherever the lists are (R-11)
    out.partitions = partitions(count, seed);
    out.revoking = partitions(count / 10, seed + 1);
    return out;
}

std::string packed(const AssignmentRecord& r) {
    const Packed p = pack_lists(r).value();
    return encode_head(r, p.packing) + p.blob;
}

std::string error_of(const RecordValue& value) {
    const auto* bad = std::get_if<UnreadablePtr>(&value);
    return bad == nullptr ? "readable" : (*bad)->error.detail;
}

void expect_same(const RecordValue& value, const AssignmentRecord& r) {
    const auto* found = std::get_if<AssignmentPtr>(&value);
    ASSERT_NE(found, nullptr) << error_of(value);
    EXPECT_EQ(**found, r);
    for (std::size_t i = 0; i < r.partitions.size(); ++i) ASSERT_EQ((*found)->partitions[i].weight(), r.partitions[i].weight());
}

TEST(Packed, ARecordComesBackFromEachOfItsForms) {
    for (const std::size_t count : {0U, 1U, 1000U, 100'000U}) {
        const AssignmentRecord r = record(count);
        const std::string plain = encode(std::make_shared<const AssignmentRecord>(r));
        expect_same(decode(Bucket::assignment, kKey, plain), r);
        const std::string bytes = packed(r);
        expect_same(decode(Bucket::assignment, kKey, bytes), r);
        Packed p = pack_lists(r).value();
        EXPECT_EQ(encode_head(r, p.packing) + p.blob, bytes) << "byte for byte, so that a repeated write is the same write";
        p.packing.set = ChunkSet::b;
        p.packing.chunks = 3;
        const std::string head = encode_head(r, p.packing);
        EXPECT_LT(head.size(), 512U);
        const auto manifest = read_manifest(head);
        ASSERT_TRUE(manifest);
        EXPECT_EQ(manifest->id, r.id);
        EXPECT_EQ(manifest->packing, p.packing);
        expect_same(decode_chunked(kKey, head, p.blob), r);
        EXPECT_FALSE(read_manifest(plain));
        EXPECT_FALSE(read_manifest(bytes));
        if (count == 100'000) {
            std::printf("100,000 partitions of 40 random letters: %zu bytes plainly, %zu packed\n", plain.size(), bytes.size());
            EXPECT_LT(bytes.size(), plain.size());
        }
    }
}

TEST(Packed, IdsThatAreAlikePackToLittle) {
    AssignmentRecord r = record(0);
    for (int i = 0; i < 20'000; ++i)
        r.partitions.push_back(Partition::from_id("orders.eu." + std::to_string(100'000 + i)).value());
    const std::size_t plain = encode(std::make_shared<const AssignmentRecord>(r)).size();
    EXPECT_LT(packed(r).size() * 4, plain);
}

// The window follows the size: both sides of each power of two, text and what does not compress.
TEST(Packed, ListsOfEverySizeComeBack) {
    base::Rng rng(20261128);
    for (std::size_t power = 0; power <= 17; ++power) {
        for (const std::size_t size : {(std::size_t{1} << power) - 1, std::size_t{1} << power, (std::size_t{1} << power) + 1}) {
            std::string alike(size, 'p');
            std::string random(size, ' ');
            for (char& c : random) c = static_cast<char>(rng.between(0, 255));
            for (const std::string& lists : {alike, random}) {
                const auto packed = pack(lists);
                ASSERT_TRUE(packed) << packed.error().message();
                const auto back = unpack(packed->blob, packed->packing);
                ASSERT_TRUE(back) << size << " bytes: " << back.error().message();
                ASSERT_TRUE(*back == lists) << size << " bytes";
            }
        }
    }
}

TEST(Packed, ChunksNameTheirWriteAndPlace) {
    const Chunk chunk{{{1, 2}, 3}, 65535, "a piece\nwith\0bytes"};
    const std::string bytes = encode_chunk(chunk);
    const auto back = parse_chunk(bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(back->id, chunk.id);
    EXPECT_EQ(back->index, chunk.index);
    EXPECT_EQ(back->piece, chunk.piece);
    for (const std::string bad : {"", "\n", "x", "{}\nabc",
                                  R"({"v":2,"w":"00000000000000010000000000000002","s":3,"chunk":0})"
                                  "\nabc",
                                  R"({"v":1,"w":"00000000000000010000000000000002","s":3,"chunk":65536})"
                                  "\nabc",
                                  R"({"v":1,"w":"00000000000000010000000000000002","s":3,"chunk":0})"}) {
        EXPECT_FALSE(parse_chunk(bad)) << bad;
    }
    EXPECT_EQ(chunk_key({12}, ChunkSet::a, 3), "worker.12.a.3");
    EXPECT_FALSE(parse_key(Bucket::assignment, chunk_key({12}, ChunkSet::b, 0))) << "no record of its own";
}

TEST(Packed, DamageIsNamed) {
    const AssignmentRecord r = record(2000);
    const Packed p = pack_lists(r).value();
    const auto said = [&](const Packing& packing, const std::string& blob) {
        return error_of(decode(Bucket::assignment, kKey, encode_head(r, packing) + blob));
    };
    EXPECT_NE(said(p.packing, p.blob.substr(1)).find("it names " + std::to_string(p.blob.size())), std::string::npos);
    Packing shorter = p.packing;
    shorter.size -= 1;
    EXPECT_NE(said(shorter, p.blob).find("unpack to more than the " + std::to_string(shorter.size)), std::string::npos);
    Packing longer = p.packing;
    longer.size += 1;
    EXPECT_NE(said(longer, p.blob).find("damaged"), std::string::npos);
    Packing other_digest = p.packing;
    other_digest.digest.low ^= 1;
    EXPECT_NE(said(other_digest, p.blob).find("it names " + to_string(other_digest.digest)), std::string::npos);
    Packing cut = p.packing;
    cut.bytes /= 2;
    EXPECT_NE(said(cut, p.blob.substr(0, cut.bytes)).find("damaged"), std::string::npos);
    Packing chunked = p.packing;
    chunked.set = ChunkSet::a;
    chunked.chunks = 1;
    EXPECT_NE(said(chunked, "").find("in chunks"), std::string::npos);
    EXPECT_NE(error_of(decode_chunked(kKey, encode_head(r, p.packing), p.blob)).find("names no chunks"), std::string::npos);
    const auto junk = pack(R"({"partitions":["a","a"],"revoking":[]})").value();
    EXPECT_NE(said(junk.packing, junk.blob).find("'a' twice"), std::string::npos);
    const auto text = pack("[]").value();
    EXPECT_NE(said(text.packing, text.blob).find("is required"), std::string::npos);
}

TEST(Packed, ABombIsRefusedBeforeItUnpacks) {
    const AssignmentRecord r = record(0);
    const std::string zeros(kRecordBytesMax, ' ');
    Packed bomb = pack(zeros).value();
    EXPECT_LT(bomb.blob.size() * 100, zeros.size());
    EXPECT_EQ(unpack(bomb.blob, bomb.packing).value().size(), kRecordBytesMax) << "the limit itself is allowed";
    Packing more = bomb.packing;
    more.size = kRecordBytesMax + 1;
    EXPECT_NE(error_of(decode(Bucket::assignment, kKey, encode_head(r, more) + bomb.blob)).find(std::to_string(kRecordBytesMax)),
              std::string::npos);
    Packing less = bomb.packing;
    less.size = 1000;  // says that it is small
    const auto unpacked = unpack(bomb.blob, less);
    ASSERT_FALSE(unpacked);
    EXPECT_NE(unpacked.error().detail.find("more than the 1000 bytes"), std::string::npos);
    Packing lie{kRecordBytesMax, 10, {}, ChunkSet::none, 0};  // memory for a promise that ten bytes cannot keep
    const auto lied = unpack(std::string(10, 'x'), lie);
    ASSERT_FALSE(lied);
    EXPECT_NE(lied.error().detail.find("cannot unpack"), std::string::npos);
    EXPECT_FALSE(pack(std::string(kRecordBytesMax + 1, ' ')));
}

TEST(Packed, ASetWhoseIdsNoRecordCouldHoldIsRefused) {
    std::vector<Partition> list;
    const std::size_t count = kPartitionBytesMax / 200 + 1;
    list.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
        std::string id = std::to_string(i);
        list.push_back(Partition::from_id(std::string(200 - id.size(), 'p') + id).value());
    }
    const auto refused = make_partition_set(list);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::invalid_argument);
    EXPECT_NE(refused.error().detail.find(std::to_string(kPartitionBytesMax)), std::string::npos) << refused.error().detail;
    list.pop_back();
    AssignmentRecord all = record(0);
    all.partitions = *make_partition_set(list).value();
    EXPECT_TRUE(pack_lists(all)) << "one worker may own the largest set";
}

TEST(Packed, NoBytesBreakIt) {
    const char* text = std::getenv("PARTI_SEED");
    const std::uint64_t seed = text == nullptr ? 20261121 : std::strtoull(text, nullptr, 0);
    SCOPED_TRACE("replay: PARTI_SEED=" + std::to_string(seed) + " parti_packed_tests --gtest_filter=Packed.NoBytesBreakIt");
    base::Rng rng(seed);
    const AssignmentRecord r = record(30);
    const std::string good = packed(r);
    const std::string chunk = encode_chunk({r.id, 3, good});
    Packing named = pack_lists(r).value().packing;
    named.set = ChunkSet::a;
    named.chunks = 2;
    const std::string head = encode_head(r, named);
    std::size_t readable = 0;
    for (int i = 0; i < 20'000; ++i) {
        std::string bytes = good;
        std::string manifest = head;
        std::string piece = chunk;
        for (std::string* s : {&bytes, &manifest, &piece}) {
            for (std::int64_t edits = rng.between(1, 4); edits > 0; --edits) {
                (*s)[rng.below(s->size())] = static_cast<char>(rng.below(256));
            }
            if (rng.chance(1, 4)) s->resize(rng.below(s->size() + 1));
        }
        const RecordValue value = decode(Bucket::assignment, kKey, bytes);
        if (const auto* found = std::get_if<AssignmentPtr>(&value)) {
            ++readable;  // edits of the head's own numbers
            EXPECT_EQ((*found)->partitions, r.partitions);
        }
        (void)read_manifest(manifest);
        (void)decode_chunked(kKey, manifest, bytes);
        (void)parse_chunk(piece);
    }
    EXPECT_LT(readable, 10'000U);
}

}  // namespace
}  // namespace parti::wire
