// LargeRecords: the hub's half that knows of packed and chunked assignment records. The rest of the hub sees whole records only.
//
// Role      Writing: decides the form of a record (plain, packed, in chunks) and carries a write in chunks through its attempts.
//           Reading: fetches the chunks that a record names, for the watch and for a member's fetch.
// Model     A record that this process wrote is known from memory and not read again. After a loss of the bucket's history
//           nothing is built upon chunks for a while: one that was on its way then may fit into the new history. See
//           chunk_write.h, chunk_read.h and docs/PROTOCOL.md, "Large records".
// Threads   The io thread; `tell` and `whole` are called from inside the client's handlers.
// Cost      Nothing but empty maps while no record is large.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "runtime/chunk_read.h"
#include "runtime/chunk_write.h"
#include "runtime/hub.h"
#include "wire/codec.h"

namespace parti::runtime {

class LargeRecords : public std::enable_shared_from_this<LargeRecords> {
public:
    struct Listener {
        std::function<void(Hub::MemberId, core::Event)> tell;                                    // one member's answer
        std::function<void(const Key&, Revision, RecordValue, core::Instant first_seen)> whole;  // what begin_reading() was about
    };
    // The client must outlive it.
    LargeRecords(jetstream::Client& client, std::string bucket, HubShell shell, Listener listener);

    // ---- writing
    // The bytes to put for this record of either bucket; nothing: the write is refused, or under way in chunks, and answered
    // through `tell`. `damaged`: the record that is there now is known not to be whole.
    std::optional<std::string> bytes_of(Hub::MemberId member, const core::Put& put, bool damaged);

    // ---- reading
    // The chunks a record names; nothing: it names none, or is not for this version to read.
    std::optional<wire::Manifest> manifest_of(Bucket bucket, const Key& key, const jetstream::RawEntry& raw) const;
    // What this process itself wrote needs no reading.
    std::optional<RecordValue> own_record(const Key& key, const WriteId& id) const;
    void heard_of(const Key& key) { own_.erase(key); }
    void begin_reading(const Key& key, const jetstream::RawEntry& raw, const wire::Manifest& manifest);
    std::optional<Revision> reading(const Key& key) const;
    bool reading_any() const { return !reading_.empty(); }
    void stop_reading(const Key& key) { reading_.erase(key); }
    // True when the answer to this fetch comes through `tell`, or never (then the core asks again).
    bool fetch_under_way(Hub::MemberId member, const core::Fetch& fetch);
    bool answers_fetch(Hub::MemberId member, const core::Fetch& fetch, const jetstream::RawEntry& raw);

    // ---- housekeeping
    void tick();  // reads that got no answer ask again; writes whose core has lost interest go
    void leave(Hub::MemberId member);
    void forget_uncovered(const std::function<bool(const Key&)>& covered);
    void history_lost();

private:
    struct Write {
        Hub::MemberId member = 0;
        std::size_t chunk_bytes = 0;
        std::shared_ptr<ChunkWrite> write;
    };
    struct OwnRecord {
        WriteId id;
        RecordValue value;
    };
    struct Reading {
        std::shared_ptr<ChunkRead> read;
        core::Instant first_seen;
    };

    std::size_t message_bytes() const;
    std::size_t chunk_bytes() const;
    void refuse(Hub::MemberId member, const core::Put& put, const Error& error);
    void write_chunks(Hub::MemberId member, const core::Put& put, const AssignmentPtr& record, wire::Packed packed, bool damaged);
    void watch_over();

    jetstream::Client& client_;
    const std::string bucket_;
    const HubShell shell_;
    const Listener listener_;
    ChunkNotes notes_;
    std::map<Key, Write> writes_;
    std::map<Key, OwnRecord> own_;  // committed, and not heard of from the watch yet
    std::map<Key, Reading> reading_;
    std::map<std::pair<Hub::MemberId, std::uint64_t>, std::shared_ptr<ChunkRead>> fetches_;  // by member and operation
    core::Instant chunks_doubted_until_{};
};

}  // namespace parti::runtime
