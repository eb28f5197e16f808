#include "wire/packed.h"

#define XXH_INLINE_ALL
#include <xxhash.h>
#include <zlib.h>

#include <algorithm>
#include <bit>

#include "base/assert.h"
#include "wire/fields.h"
#include "wire/json_text.h"

namespace parti::wire {

namespace {

// Fast: the io thread does it. Level 6 saves a tenth of the bytes and takes five times as long.
constexpr int kLevel = 1;
// No zlib stream unpacks to more than this per byte of its own (zlib's documentation says 1032).
constexpr std::size_t kRatioMax = 1040;

Digest digest_of(std::string_view bytes) {
    const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
    return {hash.high64, hash.low64};
}

// As compress2(), with a window no larger than the input: zlib clears 256 kB for each stream of full size.
int deflate_all(std::string_view input, std::string& out) {
    constexpr int kMemoryLevelDefault = 8;
    const int window_bits = std::clamp(static_cast<int>(std::bit_width(input.size())), 9, MAX_WBITS);  // 8 is zlib's own trap
    z_stream stream{};
    int status = deflateInit2(&stream, kLevel, Z_DEFLATED, window_bits, std::min(window_bits - 7, kMemoryLevelDefault),
                              Z_DEFAULT_STRATEGY);
    if (status != Z_OK) return status;
    out.resize(deflateBound(&stream, static_cast<uLong>(input.size())));
    stream.next_in = reinterpret_cast<z_const Bytef*>(const_cast<char*>(input.data()));
    stream.avail_in = static_cast<uInt>(input.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    status = deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    out.shrink_to_fit();
    deflateEnd(&stream);
    return status == Z_STREAM_END ? Z_OK : Z_BUF_ERROR;
}

}  // namespace

std::string to_string(const Digest& digest) { return parti::to_string(SessionId{digest.high, digest.low}); }

Result<Packed> pack(std::string_view lists) {
    if (lists.size() > kRecordBytesMax) {
        return fail(Errc::invalid_argument, "the lists of a record have " + std::to_string(lists.size()) + " bytes; at most " +
                                                std::to_string(kRecordBytesMax) + " are allowed");
    }
    Packed out;
    if (const int status = deflate_all(lists, out.blob); status != Z_OK)
        return fail(Errc::internal, "zlib cannot compress a record: status " + std::to_string(status));
    out.packing = {lists.size(), out.blob.size(), digest_of(lists), ChunkSet::none, 0};
    return out;
}

Result<std::string> unpack(std::string_view blob, const Packing& packing) {
    if (packing.size > kRecordBytesMax) {
        return fail(Errc::malformed_record, "its lists unpack to " + std::to_string(packing.size) + " bytes; at most " +
                                                std::to_string(kRecordBytesMax) + " are read");
    }
    if (blob.size() != packing.bytes) {
        return fail(Errc::malformed_record,
                    "its packed lists have " + std::to_string(blob.size()) + " bytes; it names " + std::to_string(packing.bytes));
    }
    if (packing.size > (blob.size() + 1) * kRatioMax) {
        return fail(Errc::malformed_record, std::to_string(blob.size()) + " packed bytes cannot unpack to the " +
                                                std::to_string(packing.size) + " bytes that it names");
    }
    std::string out(packing.size, '\0');
    uLongf size = static_cast<uLongf>(out.size());
    uLong used = static_cast<uLong>(blob.size());
    const int status =
        uncompress2(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(blob.data()), &used);
    if (status == Z_BUF_ERROR && size == out.size()) {
        return fail(Errc::malformed_record,
                    "its packed lists unpack to more than the " + std::to_string(packing.size) + " bytes that it names");
    }
    if (status != Z_OK || size != out.size() || used != blob.size()) {
        return fail(Errc::malformed_record, "its packed lists are damaged (zlib status " + std::to_string(status) + " after " +
                                                std::to_string(size) + " of " + std::to_string(packing.size) + " bytes)");
    }
    if (const Digest digest = digest_of(out); !(digest == packing.digest)) {
        return fail(Errc::malformed_record,
                    "its lists have digest " + to_string(digest) + "; it names " + to_string(packing.digest));
    }
    return out;
}

std::string encode_chunk(const Chunk& chunk) {
    std::string out;
    out.reserve(kChunkHeadBytesMax + chunk.piece.size());
    out += R"({"v":1,"w":")";
    out += to_string(chunk.id.writer);
    out += R"(","s":)";
    append_json(out, chunk.id.sequence);
    out += R"(,"chunk":)";
    append_json(out, std::uint64_t{chunk.index});
    out += "}\n";
    PARTI_ASSERT(out.size() <= kChunkHeadBytesMax);
    out += chunk.piece;
    return out;
}

std::optional<Chunk> parse_chunk(std::string_view bytes) {
    const std::size_t cut = bytes.substr(0, kChunkHeadBytesMax).find('\n');
    if (cut == std::string_view::npos) return std::nullopt;
    const auto tape = Tape::parse(bytes.substr(0, cut));
    if (!tape || !tape->root().is(Tape::Kind::object)) return std::nullopt;
    Fields in(tape->root());
    Chunk out;
    std::uint64_t major = 0;
    in.number("v", major, 1, 1);
    in.session("w", out.id.writer);
    in.number("s", out.id.sequence);
    in.number("chunk", out.index, 0, kChunksMax - 1);
    if (!in.finish()) return std::nullopt;
    out.piece = bytes.substr(cut + 1);
    return out;
}

std::string chunk_key(WorkerNumber number, ChunkSet set, std::uint32_t index) {
    PARTI_ASSERT(set != ChunkSet::none);
    return "worker." + std::to_string(number.value) + (set == ChunkSet::a ? ".a." : ".b.") + std::to_string(index);
}

}  // namespace parti::wire
