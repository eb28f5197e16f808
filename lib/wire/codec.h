// Codec: records <-> bytes. Versioned JSON ("v": the record's major); unknown fields are ignored; a higher major is refused as future_record.
//
// Model     decode is total: any bytes give a record or an Unreadable, never an exception or assertion. decode(encode(x)) == x.
// Cost      One pass; memory O(size). Input above kRecordBytesMax is refused before it is parsed.
// Source    docs/PROTOCOL.md, "State in NATS".
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/records.h"

namespace parti::wire {

inline constexpr std::size_t kRecordBytesMax = 64U << 20U;

// Requires: the value is a record (not Absent, not Unreadable).
std::string encode(const RecordValue& record);
// What the key of this bucket must hold. Empty bytes are malformed (markers are told apart by headers, not here).
RecordValue decode(Bucket bucket, const Key& key, std::string_view bytes);
// The same for a reader of majors up to `reads`; a higher one is future_record.
RecordValue decode_up_to(std::uint32_t reads, Bucket bucket, const Key& key, std::string_view bytes);

// "worker.7", "head", "control". parse_key: nothing for a key that is not ours (wrong form, number out of range, leading zero).
std::string to_string(const Key& key);
std::optional<Key> parse_key(Bucket bucket, std::string_view text);

}  // namespace parti::wire
