#include "runtime/chunk_read.h"

#include <utility>

namespace parti::runtime {
namespace {

constexpr std::uint32_t kInFlightMax = 4;

}  // namespace

ChunkRead::ChunkRead(jetstream::Client& client, std::string bucket, Key key, jetstream::RawEntry head,
                     const wire::Manifest& manifest, Duration timeout, Done done)
    : client_(client), bucket_(std::move(bucket)), key_(key), head_(std::move(head)), packing_(manifest.packing),
      timeout_(timeout), done_(std::move(done)), state_(packing_.chunks, Piece::wanted), pieces_(packing_.chunks) {}

void ChunkRead::start() { ask(); }

void ChunkRead::again() {
    if (!stuck()) return;
    failed_ = 0;
    if (doubting_) return doubt(std::move(why_));
    ask();
}

void ChunkRead::ask() {
    for (std::uint32_t i = 0; i < state_.size() && in_flight_ < kInFlightMax; ++i) {
        if (state_[i] != Piece::wanted) continue;
        state_[i] = Piece::asked;
        ++in_flight_;
        client_.get(bucket_, wire::chunk_key(key_.number, packing_.set, i), timeout_,
                    [weak = weak_from_this(), i](Result<jetstream::RawEntry> answer) {
                        if (const auto self = weak.lock()) self->on_piece(i, std::move(answer));
                    });
    }
}

void ChunkRead::on_piece(std::uint32_t index, Result<jetstream::RawEntry> answer) {
    --in_flight_;
    if (doubting_ || !done_) return;
    if (!answer) {
        state_[index] = Piece::wanted;
        ++failed_;
        return;
    }
    const std::string name = "chunk " + wire::chunk_key(key_.number, packing_.set, index);
    if (answer->kind != jetstream::EntryKind::value) return doubt(name + " is missing");
    const auto chunk = wire::parse_chunk(answer->bytes);
    if (!chunk || chunk->index != index) return doubt(name + " is not one");
    state_[index] = Piece::here;
    pieces_[index] = std::string(chunk->piece);
    if (++here_ == state_.size()) return assemble();
    if (failed_ == 0) ask();
}

void ChunkRead::assemble() {
    std::string blob;
    blob.reserve(packing_.bytes);
    for (std::string& piece : pieces_) {
        blob += piece;
        piece = {};
    }
    RecordValue value = wire::decode_chunked(key_, head_.bytes, blob);
    const auto* bad = std::get_if<UnreadablePtr>(&value);
    if (bad == nullptr) return finish(std::move(value));
    doubt((*bad)->error.detail);
}

void ChunkRead::doubt(std::string why) {
    doubting_ = true;
    why_ = std::move(why);
    ++in_flight_;
    client_.get(bucket_, wire::to_string(key_), timeout_, [weak = weak_from_this()](Result<jetstream::RawEntry> answer) {
        if (const auto self = weak.lock()) self->on_head(std::move(answer));
    });
}

void ChunkRead::on_head(Result<jetstream::RawEntry> answer) {
    --in_flight_;
    if (!done_) return;
    if (!answer) {
        ++failed_;
        return;
    }
    if (answer->revision != head_.revision) return finish(std::nullopt);
    finish(std::make_shared<const Unreadable>(Unreadable{
        {Errc::malformed_record, "record of key '" + wire::to_string(key_) + "' at revision " + std::to_string(head_.revision) +
                                     " names " + std::to_string(packing_.chunks) + " chunks that do not hold it: " + why_},
        false}));
}

void ChunkRead::finish(std::optional<RecordValue> value) {
    const Done done = std::exchange(done_, nullptr);
    if (done) done(std::move(value));
}

}  // namespace parti::runtime
