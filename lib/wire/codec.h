// Codec: records <-> bytes. Versioned JSON ("v": the record's major); unknown fields are ignored; a higher major is refused as
// future_record.
//
// Model     decode is total: any bytes give a record or an Unreadable, never an exception or assertion. decode(encode(x)) == x.
//           An assignment record can be written in three forms: plainly; packed, its lists compressed behind the head's line; in
//           chunks, the head naming the keys that hold the packed lists. decode reads the first two, decode_chunked the third.
// Cost      One pass; memory O(size). Input above kRecordBytesMax is refused before it is parsed.
// Source    docs/PROTOCOL.md, "State in NATS".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/records.h"
#include "wire/packed.h"

namespace parti::wire {

// Requires: the value is a record (not Absent, not Unreadable).
std::string encode(const RecordValue& record);
// What the key of this bucket must hold. Empty bytes are malformed (markers are told apart by headers, not here).
RecordValue decode(Bucket bucket, const Key& key, std::string_view bytes);
// The same for a reader of majors up to `reads`; a higher one is future_record.
RecordValue decode_up_to(std::uint32_t reads, Bucket bucket, const Key& key, std::string_view bytes);

// The lists of an assignment record, packed. Errors: invalid_argument (too long).
Result<Packed> pack_lists(const AssignmentRecord& record);
// The head of a packed record. Without a set in `packing` the blob must be appended to it; with one this is the whole message.
std::string encode_head(const AssignmentRecord& record, const Packing& packing);

// What a worker's assignment record says about its chunks; nothing for one without (or one that cannot be read).
struct Manifest {
    WriteId id;
    Packing packing;
};
std::optional<Manifest> read_manifest(std::string_view bytes);
// `blob`: the chunks' pieces, joined.
RecordValue decode_chunked(const Key& key, std::string_view bytes, std::string_view blob);

// "worker.7", "head", "control". parse_key: nothing for a key that is not ours (wrong form, number out of range, leading zero).
std::string to_string(const Key& key);
std::optional<Key> parse_key(Bucket bucket, std::string_view text);

}  // namespace parti::wire
