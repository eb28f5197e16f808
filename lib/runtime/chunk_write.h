// ChunkWrite: one compare-and-set write of an assignment record that is too long for one message.
//
// Model     looking (the present record: is it at the expected revision, which set does it name) -> writing (the chunks of the
//           other set, the first one before the others) -> committing (the record that names them, expecting that revision). The
//           record is the commit. A set is written only by who wrote its first chunk after the present record, and never while
//           that names it; why this cannot tear, whoever writes late: docs/PROTOCOL.md, "Large records".
//           Unchanged lists (sealing) keep the chunks there are: one short message.
//           What has no answer is repeated, byte-identical, with the core's next attempt; the answers to the core are those of a
//           put.
// Errors    As a put's: done, wrong_revision, no_information.
// Threads   The io thread. Destroying it stops it; what it has sent may still arrive.
// Cost      The packed lists and one copy in pieces, until it is over.
#pragma once

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/io.h"
#include "jetstream/client.h"
#include "wire/codec.h"

namespace parti::runtime {

// What this process knows of chunk keys; it outlives the writes. Of use only, never of consequence: a wrong guess is a refused
// put.
struct ChunkNotes {
    // This process wrote the first chunk of `set` while the record was at `expected`, and has not tried to commit since.
    struct Hold {
        wire::ChunkSet set = wire::ChunkSet::none;
        Revision expected = 0;
        Revision revision = 0;  // of that first chunk
    };
    std::map<Key, Hold> holds;
    std::map<Key, std::array<std::vector<Revision>, 2>> revisions;  // of chunks, by set

    std::vector<Revision>& of(const Key& key, wire::ChunkSet set) { return revisions[key][set == wire::ChunkSet::a ? 0 : 1]; }
};

class ChunkWrite : public std::enable_shared_from_this<ChunkWrite> {
public:
    struct Shell {
        jetstream::Client& client;
        ChunkNotes& notes;
        std::string bucket;
        std::function<core::Instant()> now;
        std::function<void(core::WriteAnswered)> answer;
        Duration timeout{};  // of one request
        std::size_t chunk_bytes_max = 0;
        bool damaged = false;  // the present record is known not to be whole: none of its chunks is used again
    };
    ChunkWrite(Shell shell, const core::Put& put, AssignmentPtr record, wire::Packed packed);

    // The core's first attempt, or the next one.
    void attempt(core::WriteToken token);
    const AssignmentPtr& record() const { return record_; }
    std::uint64_t operation() const { return token_.operation; }
    core::Instant last_attempt() const { return last_attempt_; }
    bool over() const { return over_; }
    // Set once the commit was stored.
    const wire::Packing* committed() const { return committed_ ? &packed_.packing : nullptr; }

private:
    enum class Phase : std::uint8_t { looking, writing, committing };
    enum class State : std::uint8_t { unsent, in_flight, conflict, stored };
    struct Piece {
        std::string bytes;
        State state = State::unsent;
        Revision expected = 0;
        Revision found = 0;        // conflict: what is there
        std::uint32_t sends = 0;   // with this expectation
        std::uint32_t serial = 0;  // changes with the expectation: answers to older ones are void
        core::Instant sent_at{};
    };

    void look();
    void on_look(Result<jetstream::RawEntry> answer);
    void choose_set(const jetstream::RawEntry& present);
    bool admitted(Revision first_chunk) const;
    void settle_conflicts();
    void disown();
    void pump(bool retry);
    void send(std::uint32_t index);
    void on_put(std::uint32_t index, jetstream::PutAnswer answer);
    void verify(std::uint32_t index);
    void conflict(std::uint32_t index, Revision found);
    void stored(std::uint32_t index, Revision revision);
    void commit();
    void moved_on(Revision revision);
    void tell(core::WriteAnswered answer);
    std::string name(std::uint32_t index) const { return wire::chunk_key(key_.number, packed_.packing.set, index); }

    Shell shell_;
    const Key key_;
    const Revision expected_;
    const AssignmentPtr record_;
    wire::Packed packed_;
    core::WriteToken token_;
    core::Instant last_attempt_{};

    Phase phase_ = Phase::looking;
    bool look_in_flight_ = false;
    bool look_again_ = false;
    core::Instant looked_at_{};
    std::uint64_t look_serial_ = 0;
    jetstream::RawEntry present_;
    std::vector<Piece> pieces_;
    std::string commit_bytes_;
    bool committed_ = false;
    bool over_ = false;
};

}  // namespace parti::runtime
