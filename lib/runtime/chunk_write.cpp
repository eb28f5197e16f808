#include "runtime/chunk_write.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace parti::runtime {
namespace {

constexpr std::uint32_t kInFlightMax = 4;
// A request without an answer is repeated with the first attempt of the core that comes this long after it.
constexpr Duration kPatience = std::chrono::seconds(1);

Revision revision_of(const jetstream::RawEntry& entry) { return entry.kind == jetstream::EntryKind::absent ? 0 : entry.revision; }

}  // namespace

ChunkWrite::ChunkWrite(Shell shell, const core::Put& put, AssignmentPtr record, wire::Packed packed)
    : shell_(std::move(shell)), key_(put.key), expected_(put.expected), record_(std::move(record)), packed_(std::move(packed)) {}

void ChunkWrite::attempt(core::WriteToken token) {
    token_ = token;
    last_attempt_ = shell_.now();
    if (over_) return;
    switch (phase_) {
        case Phase::looking: return look();
        case Phase::writing:
            if (look_in_flight_ || look_again_) return look();
            return pump(true);
        case Phase::committing: return commit();
    }
}

// ---- the present record -----------------------------------------------------------------------------------------------------

void ChunkWrite::look() {
    if (look_in_flight_ && shell_.now() < looked_at_ + kPatience) return;
    look_in_flight_ = true;
    look_again_ = false;
    looked_at_ = shell_.now();
    shell_.client.get(shell_.bucket, wire::to_string(key_), shell_.timeout,
                      [weak = weak_from_this(), serial = ++look_serial_](Result<jetstream::RawEntry> answer) {
                          const auto self = weak.lock();
                          if (!self || self->over_ || self->look_serial_ != serial) return;
                          self->look_in_flight_ = false;
                          self->on_look(std::move(answer));
                      });
}

void ChunkWrite::on_look(Result<jetstream::RawEntry> answer) {
    if (!answer) {
        look_again_ = true;  // with the next attempt
        return;
    }
    if (revision_of(*answer) != expected_) return moved_on(revision_of(*answer));
    if (phase_ == Phase::looking) return choose_set(*answer);
    if (look_again_) return look();  // a conflict was found after this look had begun
    settle_conflicts();
}

void ChunkWrite::choose_set(const jetstream::RawEntry& present) {
    present_ = present;
    const auto manifest = present.kind == jetstream::EntryKind::value ? wire::read_manifest(present.bytes) : std::nullopt;
    wire::Packing& packing = packed_.packing;
    const bool same =
        manifest && !shell_.damaged && manifest->packing.size == packing.size && manifest->packing.digest == packing.digest;
    if (same) {
        packing = manifest->packing;
        packed_.blob = {};
        return commit();
    }
    // Held from an earlier write of this process, else any that the present record does not name.
    const auto hold = shell_.notes.holds.find(key_);
    packing.set = wire::other(manifest ? manifest->packing.set : wire::ChunkSet::none);
    if (!manifest && hold != shell_.notes.holds.end() && hold->second.expected == expected_) packing.set = hold->second.set;
    const std::size_t room = shell_.chunk_bytes_max - wire::kChunkHeadBytesMax;
    packing.chunks = static_cast<std::uint32_t>(std::max<std::size_t>(1, (packed_.blob.size() + room - 1) / room));
    const std::vector<Revision>& known = shell_.notes.of(key_, packing.set);
    pieces_.resize(packing.chunks);
    for (std::uint32_t i = 0; i < packing.chunks; ++i) {
        pieces_[i].bytes = wire::encode_chunk({record_->id, i, std::string_view(packed_.blob).substr(i * room, room)});
        if (i < known.size()) pieces_[i].expected = known[i];
    }
    packed_.blob = {};
    phase_ = Phase::writing;
    if (!admitted(pieces_[0].expected)) return disown();
    pump(false);
}

// Whether the set may be taken, its first chunk being at this revision: nobody has begun to write it since the present record.
bool ChunkWrite::admitted(Revision first_chunk) const {
    if (first_chunk < expected_) return true;
    // Without a record only the leader that made room for it writes here: any other seals it first.
    if (present_.kind != jetstream::EntryKind::value) return true;
    const auto hold = shell_.notes.holds.find(key_);
    return hold != shell_.notes.holds.end() && hold->second.set == packed_.packing.set && hold->second.expected == expected_ &&
           hold->second.revision == first_chunk;
}

// Nobody had moved the record on when the conflicting chunks were known to be there.
void ChunkWrite::settle_conflicts() {
    for (std::uint32_t i = 0; i < pieces_.size(); ++i) {
        Piece& piece = pieces_[i];
        if (piece.state != State::conflict) continue;
        if (i == 0 && !admitted(piece.found)) return disown();
        piece.state = State::unsent;
        piece.expected = piece.found;
        piece.sends = 0;
        ++piece.serial;
    }
    pump(false);
}

// Somebody began to write the set after the present record and may still commit it. The same record at a new revision ends that.
void ChunkWrite::disown() {
    phase_ = Phase::looking;
    look_again_ = true;
    shell_.client.put(shell_.bucket, wire::to_string(key_), present_.bytes, expected_, shell_.timeout,
                      [weak = weak_from_this()](jetstream::PutAnswer answer) {
                          const auto self = weak.lock();
                          if (!self || self->over_) return;
                          if (answer.result != jetstream::PutResult::no_information) self->moved_on(answer.revision);
                      });
}

// ---- chunks -----------------------------------------------------------------------------------------------------------------

// `retry`: repeat what was refused or has been unanswered for long.
void ChunkWrite::pump(bool retry) {
    std::uint32_t flying = 0;
    std::uint32_t left = 0;
    for (const Piece& piece : pieces_) {
        if (piece.state == State::in_flight) ++flying;
        if (piece.state != State::stored) ++left;
    }
    if (left == 0) return commit();
    const std::uint32_t end = pieces_[0].state == State::stored ? static_cast<std::uint32_t>(pieces_.size()) : 1;
    for (std::uint32_t i = 0; i < end; ++i) {
        const Piece& piece = pieces_[i];
        const bool late = piece.state == State::in_flight && retry && shell_.now() >= piece.sent_at + kPatience;
        const bool due = piece.state == State::unsent && (retry || piece.sends == 0);
        if (!late && !due) continue;
        if (!late && flying >= kInFlightMax) continue;
        if (due) ++flying;
        send(i);
    }
}

void ChunkWrite::send(std::uint32_t index) {
    Piece& piece = pieces_[index];
    piece.state = State::in_flight;
    piece.sent_at = shell_.now();
    ++piece.sends;
    shell_.client.put(shell_.bucket, name(index), piece.bytes, piece.expected, shell_.timeout,
                      [weak = weak_from_this(), index, serial = piece.serial](jetstream::PutAnswer answer) {
                          const auto self = weak.lock();
                          if (!self || self->over_ || self->phase_ != Phase::writing) return;
                          const Piece& p = self->pieces_[index];
                          if (p.serial != serial || p.state != State::in_flight) return;
                          self->on_put(index, std::move(answer));
                      });
}

void ChunkWrite::on_put(std::uint32_t index, jetstream::PutAnswer answer) {
    Piece& piece = pieces_[index];
    switch (answer.result) {
        case jetstream::PutResult::done: return stored(index, answer.revision);
        case jetstream::PutResult::wrong_revision:
            // Of several attempts an earlier one may have happened; then it is this write's own chunk that is there.
            if (piece.sends > 1 || answer.revision == 0) return verify(index);
            return conflict(index, answer.revision);
        case jetstream::PutResult::no_information:
            piece.state = State::unsent;
            return tell({token_, core::WriteResult::no_information, 0, name(index) + ": " + answer.error.message()});
    }
}

void ChunkWrite::verify(std::uint32_t index) {
    shell_.client.get(shell_.bucket, name(index), shell_.timeout,
                      [weak = weak_from_this(), index, serial = pieces_[index].serial](Result<jetstream::RawEntry> answer) {
                          const auto self = weak.lock();
                          if (!self || self->over_ || self->phase_ != Phase::writing) return;
                          Piece& piece = self->pieces_[index];
                          if (piece.serial != serial || piece.state != State::in_flight) return;
                          if (!answer) {
                              piece.state = State::unsent;
                              return;
                          }
                          const auto chunk = wire::parse_chunk(answer->bytes);
                          if (chunk && chunk->id == self->record_->id && answer->bytes == piece.bytes) {
                              return self->stored(index, answer->revision);
                          }
                          self->conflict(index, revision_of(*answer));
                      });
}

void ChunkWrite::conflict(std::uint32_t index, Revision found) {
    pieces_[index].state = State::conflict;
    pieces_[index].found = found;
    if (look_in_flight_) {
        look_again_ = true;
    } else {
        look();
    }
}

void ChunkWrite::stored(std::uint32_t index, Revision revision) {
    Piece& piece = pieces_[index];
    piece.state = State::stored;
    piece.bytes = {};
    std::vector<Revision>& known = shell_.notes.of(key_, packed_.packing.set);
    if (known.size() <= index) known.resize(index + 1);
    known[index] = revision;
    if (index == 0) shell_.notes.holds[key_] = {packed_.packing.set, expected_, revision};
    pump(false);
}

// ---- commit -----------------------------------------------------------------------------------------------------------------

void ChunkWrite::commit() {
    phase_ = Phase::committing;
    // From here on this write may come into force at any time: nobody may take its chunks for free.
    shell_.notes.holds.erase(key_);
    if (commit_bytes_.empty()) commit_bytes_ = wire::encode_head(*record_, packed_.packing);
    shell_.client.put(shell_.bucket, wire::to_string(key_), commit_bytes_, expected_, shell_.timeout,
                      [weak = weak_from_this(), answer = shell_.answer, token = token_](jetstream::PutAnswer put) {
                          core::WriteAnswered said{token, core::WriteResult::no_information, put.revision, {}};
                          if (put.result == jetstream::PutResult::no_information) said.detail = put.error.message();
                          if (put.result == jetstream::PutResult::done) said.result = core::WriteResult::done;
                          if (put.result == jetstream::PutResult::wrong_revision) said.result = core::WriteResult::wrong_revision;
                          if (const auto self = weak.lock(); self && put.result != jetstream::PutResult::no_information) {
                              self->over_ = true;
                              self->committed_ = put.result == jetstream::PutResult::done;
                          }
                          answer(std::move(said));
                      });
}

void ChunkWrite::moved_on(Revision revision) {
    over_ = true;
    tell({token_, core::WriteResult::wrong_revision, revision, {}});
}

void ChunkWrite::tell(core::WriteAnswered answer) { shell_.answer(std::move(answer)); }

}  // namespace parti::runtime
