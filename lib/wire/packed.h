// Packed: the lists of an assignment record in few bytes, and in pieces.
//
// Role      Compression (zlib), digest (XXH3-128) and the frame of a chunk. Knows no record; codec.h puts them together.
// Model     A record that is too long to be written plainly has its lists packed: as JSON, compressed, either behind its own
//           message's head or in chunks under keys of their own. `Packing` is what the head says of them. docs/PROTOCOL.md,
//           "Large records". Compression is deterministic: the same lists give the same bytes within one process.
// Errors    unpack: malformed_record, naming what it found and the limit. Nothing throws; total on any bytes.
// Cost      unpack allocates `size` bytes, and only when `size` is within kRecordBytesMax and within what `blob` can unpack to.
// Source    RFC 1950 (zlib); xxHash.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <parti/result.h>

#include "base/records.h"

namespace parti::wire {

inline constexpr std::size_t kRecordBytesMax = 64U << 20U;  // of one record, unpacked
inline constexpr std::uint32_t kChunksMax = 65536;

struct Digest {
    std::uint64_t high = 0;
    std::uint64_t low = 0;
    friend bool operator==(const Digest&, const Digest&) = default;
};
std::string to_string(const Digest& digest);

// Two sets of chunk keys a worker record may use in turn.
enum class ChunkSet : std::uint8_t { none, a, b };
inline ChunkSet other(ChunkSet set) { return set == ChunkSet::a ? ChunkSet::b : ChunkSet::a; }

struct Packing {
    std::size_t size = 0;           // of the lists as JSON
    std::size_t bytes = 0;          // of the packed lists
    Digest digest;                  // of the lists as JSON
    ChunkSet set = ChunkSet::none;  // none: the packed lists follow the head in the same message
    std::uint32_t chunks = 0;
    friend bool operator==(const Packing&, const Packing&) = default;
};

struct Packed {
    Packing packing;  // without a set
    std::string blob;
};
// Errors: invalid_argument when the lists are longer than kRecordBytesMax.
Result<Packed> pack(std::string_view lists);
Result<std::string> unpack(std::string_view blob, const Packing& packing);

// One chunk's value: a line of JSON that names the write and the index, then a piece of the packed lists.
struct Chunk {
    WriteId id;
    std::uint32_t index = 0;
    std::string_view piece;  // into the bytes given
};
inline constexpr std::size_t kChunkHeadBytesMax = 128;
std::string encode_chunk(const Chunk& chunk);
std::optional<Chunk> parse_chunk(std::string_view bytes);

// "worker.7.a.0": not matched by "worker.*".
std::string chunk_key(WorkerNumber number, ChunkSet set, std::uint32_t index);

}  // namespace parti::wire
