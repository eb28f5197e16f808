// ChunkRead: fetches the chunks that one version of a record names, and puts the record together.
//
// Model     Gets through the stream's leader, a few at a time. A set of chunks is not touched while the present record names it
//           (docs/PROTOCOL.md, "Large records"), so chunks that do not fit mean one of two things, told apart by looking at the
//           record again: there is a newer record, which the watch will bring (superseded); or somebody meddled (unreadable).
// Errors    A get without an answer is repeated by again(): nothing is concluded from silence.
// Threads   The io thread. `done` is called at most once, never from inside start() or again(). Destroying it forgets everything.
// Cost      The packed lists once while it reads; the client's answers carry them in base64.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "jetstream/client.h"
#include "wire/codec.h"

namespace parti::runtime {

class ChunkRead : public std::enable_shared_from_this<ChunkRead> {
public:
    using Done = std::function<void(std::optional<RecordValue>)>;  // nothing: superseded

    ChunkRead(jetstream::Client& client, std::string bucket, Key key, jetstream::RawEntry head, const wire::Manifest& manifest,
              Duration timeout, Done done);
    void start();
    void again();                                                  // asks anew for what got no answer
    bool stuck() const { return failed_ > 0 && in_flight_ == 0; }  // waits for again()
    Revision revision() const { return head_.revision; }

private:
    enum class Piece : std::uint8_t { wanted, asked, here };

    void ask();
    void on_piece(std::uint32_t index, Result<jetstream::RawEntry> answer);
    void assemble();
    void doubt(std::string why);
    void on_head(Result<jetstream::RawEntry> answer);
    void finish(std::optional<RecordValue> value);

    jetstream::Client& client_;
    const std::string bucket_;
    const Key key_;
    const jetstream::RawEntry head_;
    const wire::Packing packing_;
    const Duration timeout_;
    Done done_;
    std::vector<Piece> state_;
    std::vector<std::string> pieces_;
    std::uint32_t in_flight_ = 0;
    std::uint32_t failed_ = 0;
    std::uint32_t here_ = 0;
    bool doubting_ = false;
    std::string why_;
};

}  // namespace parti::runtime
