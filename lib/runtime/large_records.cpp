#include "runtime/large_records.h"

#include <algorithm>

namespace parti::runtime {

namespace {

constexpr std::size_t kChunkBytesMin = wire::kChunkHeadBytesMax + 16;
constexpr Duration kDoubtChunksFor = std::chrono::minutes(1);
constexpr Duration kLookInterval = std::chrono::milliseconds(250);

}  // namespace

LargeRecords::LargeRecords(jetstream::Client& client, std::string bucket, HubShell shell, Listener listener)
    : client_(client), bucket_(std::move(bucket)), shell_(std::move(shell)), listener_(std::move(listener)) {}

std::size_t LargeRecords::message_bytes() const { return std::min(shell_.limits.message_bytes_max, client_.value_bytes_max()); }

std::size_t LargeRecords::chunk_bytes() const {
    return std::max(kChunkBytesMin, std::min(shell_.limits.chunk_bytes_max, client_.value_bytes_max()));
}

// ---- writing ----------------------------------------------------------------------------------------------------------------

std::optional<std::string> LargeRecords::bytes_of(Hub::MemberId member, const core::Put& put, bool damaged) {
    const auto it = put.bucket == Bucket::assignment ? writes_.find(put.key) : writes_.end();
    if (it != writes_.end() && it->second.member == member) {
        if (it->second.write->operation() == put.token.operation && it->second.chunk_bytes == chunk_bytes()) {
            it->second.write->attempt(put.token);
            return std::nullopt;
        }
        writes_.erase(it);
    }
    std::string bytes = shell_.encode(put.record);
    const auto* record = std::get_if<AssignmentPtr>(&put.record);
    if (record != nullptr && bytes.size() > std::min(shell_.limits.plain_bytes_max, message_bytes())) {
        auto packed = wire::pack_lists(**record);
        if (!packed) {
            refuse(member, put, packed.error());
            return std::nullopt;
        }
        bytes = wire::encode_head(**record, packed->packing);
        if (bytes.size() + packed->blob.size() > message_bytes()) {
            write_chunks(member, put, *record, std::move(*packed), damaged);
            return std::nullopt;
        }
        bytes += packed->blob;
    }
    if (bytes.size() <= client_.value_bytes_max()) return bytes;
    refuse(member, put,
           {Errc::invalid_argument, "record '" + wire::to_string(put.key) + "' has " + std::to_string(bytes.size()) +
                                        " bytes; this server takes at most " + std::to_string(client_.value_bytes_max())});
    return std::nullopt;
}

void LargeRecords::refuse(Hub::MemberId member, const core::Put& put, const Error& error) {
    if (shell_.log) shell_.log(LogLevel::error, error.message());
    listener_.tell(member, core::WriteAnswered{put.token, core::WriteResult::no_information, 0, error.message()});
}

void LargeRecords::write_chunks(Hub::MemberId member, const core::Put& put, const AssignmentPtr& record, wire::Packed packed,
                                bool damaged) {
    auto answer = [weak = weak_from_this(), member, key = put.key](core::WriteAnswered answered) {
        const auto self = weak.lock();
        if (!self) return;
        const auto it = self->writes_.find(key);
        if (it != self->writes_.end() && it->second.member == member && it->second.write->over()) {
            const std::shared_ptr<ChunkWrite> write = it->second.write;
            if (write->committed()) self->own_[key] = {write->record()->id, write->record()};
            self->writes_.erase(it);
        }
        self->listener_.tell(member, std::move(answered));
    };
    const std::size_t bytes = chunk_bytes();
    // A chunk that was on its way when the store went back may fit there, on top of what is read as whole now.
    const bool doubted = damaged || shell_.now() < chunks_doubted_until_;
    auto write = std::make_shared<ChunkWrite>(
        ChunkWrite::Shell{client_, notes_, bucket_, shell_.now, std::move(answer), shell_.put_timeout, bytes, doubted}, put,
        record, std::move(packed));
    writes_.insert_or_assign(put.key, Write{member, bytes, write});
    write->attempt(put.token);
    watch_over();
}

// ---- reading ----------------------------------------------------------------------------------------------------------------

std::optional<wire::Manifest> LargeRecords::manifest_of(Bucket bucket, const Key& key, const jetstream::RawEntry& raw) const {
    if (bucket != Bucket::assignment || key.kind != Key::Kind::worker || raw.kind != jetstream::EntryKind::value)
        return std::nullopt;
    auto manifest = wire::read_manifest(raw.bytes);
    if (!manifest) return std::nullopt;
    const RecordValue head = shell_.decode(bucket, key, raw.bytes);  // unreadable without its chunks: but is it for us?
    const auto* bad = std::get_if<UnreadablePtr>(&head);
    if (bad != nullptr && (*bad)->future) return std::nullopt;
    return manifest;
}

std::optional<RecordValue> LargeRecords::own_record(const Key& key, const WriteId& id) const {
    const auto write = writes_.find(key);
    if (write != writes_.end() && write->second.write->record()->id == id) return write->second.write->record();
    const auto own = own_.find(key);
    if (own != own_.end() && own->second.id == id) return own->second.value;
    return std::nullopt;
}

void LargeRecords::begin_reading(const Key& key, const jetstream::RawEntry& raw, const wire::Manifest& manifest) {
    auto done = [weak = weak_from_this(), key, revision = raw.revision](std::optional<RecordValue> value) {
        const auto self = weak.lock();
        if (!self || !value) return;  // superseded: what takes its place is on its way through the watch
        const auto it = self->reading_.find(key);
        if (it == self->reading_.end() || it->second.read->revision() != revision) return;
        const core::Instant first_seen = it->second.first_seen;
        const std::shared_ptr<ChunkRead> keep = it->second.read;
        self->reading_.erase(it);
        self->listener_.whole(key, revision, std::move(*value), first_seen);
    };
    auto read = std::make_shared<ChunkRead>(client_, bucket_, key, raw, manifest, shell_.put_timeout, std::move(done));
    reading_[key] = {read, shell_.now()};
    read->start();
    watch_over();
}

std::optional<Revision> LargeRecords::reading(const Key& key) const {
    const auto it = reading_.find(key);
    if (it == reading_.end()) return std::nullopt;
    return it->second.read->revision();
}

bool LargeRecords::fetch_under_way(Hub::MemberId member, const core::Fetch& fetch) {
    const auto it = fetches_.find({member, fetch.token.operation});
    if (it == fetches_.end()) return false;
    if (!it->second->stuck()) return true;
    fetches_.erase(it);
    return false;
}

bool LargeRecords::answers_fetch(Hub::MemberId member, const core::Fetch& fetch, const jetstream::RawEntry& raw) {
    const auto manifest = manifest_of(fetch.bucket, fetch.key, raw);
    if (!manifest) return false;
    const auto tell = [this, member, fetch](Revision revision, RecordValue value) {
        listener_.tell(member, core::FetchAnswered{fetch.token, Entry{fetch.bucket, fetch.key, revision, std::move(value)}});
    };
    if (auto own = own_record(fetch.key, manifest->id)) {
        tell(raw.revision, std::move(*own));
        return true;
    }
    const std::pair<Hub::MemberId, std::uint64_t> slot{member, fetch.token.operation};
    auto done = [weak = weak_from_this(), tell, slot, revision = raw.revision](std::optional<RecordValue> value) {
        const auto self = weak.lock();
        if (!self) return;
        self->fetches_.erase(slot);
        if (value) tell(revision, std::move(*value));
    };
    auto read = std::make_shared<ChunkRead>(client_, bucket_, fetch.key, raw, *manifest, shell_.put_timeout, std::move(done));
    fetches_[slot] = read;
    read->start();
    watch_over();
    return true;
}

// ---- housekeeping -----------------------------------------------------------------------------------------------------------

void LargeRecords::tick() {
    for (auto& [key, reading] : reading_) reading.read->again();
    const core::Instant now = shell_.now();
    std::erase_if(writes_, [&](const auto& item) { return now >= item.second.write->last_attempt() + shell_.put_timeout; });
    std::erase_if(fetches_, [](const auto& item) { return item.second->stuck(); });  // the core asks again
    watch_over();
}

void LargeRecords::leave(Hub::MemberId member) {
    std::erase_if(writes_, [member](const auto& item) { return item.second.member == member; });
    std::erase_if(fetches_, [member](const auto& item) { return item.first.first == member; });
}

void LargeRecords::forget_uncovered(const std::function<bool(const Key&)>& covered) {
    std::erase_if(reading_, [&](const auto& item) { return !covered(item.first); });
    std::erase_if(own_, [&](const auto& item) { return !covered(item.first); });
}

void LargeRecords::history_lost() {
    reading_.clear();
    writes_.clear();
    fetches_.clear();
    own_.clear();
    notes_ = {};
    chunks_doubted_until_ = shell_.now() + kDoubtChunksFor;
}

// While anything large is under way.
void LargeRecords::watch_over() {
    if (writes_.empty() && fetches_.empty() && reading_.empty()) return;
    shell_.wake(shell_.now() + kLookInterval);
}

}  // namespace parti::runtime
