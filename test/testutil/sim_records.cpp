#include "testutil/sim_records.h"

#include "wire/codec.h"

namespace parti::testutil {

RecordValue stored_assignment(const SimStore& store, const std::string& bucket, const Key& key) {
    const SimMessage* main = store.last(bucket, wire::to_string(key));
    if (main == nullptr || main->marker()) return Absent{};
    const auto manifest = wire::read_manifest(*main->bytes);
    if (!manifest) return wire::decode(Bucket::assignment, key, *main->bytes);
    std::string blob;
    for (std::uint32_t i = 0; i < manifest->packing.chunks; ++i) {
        const SimMessage* message = store.last(bucket, wire::chunk_key(key.number, manifest->packing.set, i));
        if (message == nullptr || message->marker()) continue;
        if (const auto chunk = wire::parse_chunk(*message->bytes)) blob += chunk->piece;
    }
    return wire::decode_chunked(key, *main->bytes, blob);
}

}  // namespace parti::testutil
