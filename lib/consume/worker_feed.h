// WorkerFeed: the one durable of a worker's incarnation, with a filter for each of its partitions (ConsumerMode::per_worker).
//
// Role      Keeps the durable's filters equal to what is owned. Never an unfiltered consumer: without partitions there is none.
// Model     settled -> quiescing -> flushing -> deleting -> (clearing ->) creating -> settled. Every change makes the durable
//           anew, because a filter added to a live consumer silently skips that subject's backlog, and on a work queue what was
//           acknowledged is gone:
//           quiescing  the pull is closed, no handler begins, those that run finish (or the drain timeout passes)
//           flushing   the last ack is sent once more with a reply: servers take acks in through a queue, and one that is
//                      overtaken by the deletion would come again
//           deleting   only then are lost partitions released: release before acquire, or the next owner is refused (10100)
//           clearing   durables of incarnations that are certainly over (their lease record says so, or a later incarnation
//                      exists) are deleted; at the first creation, and when a filter is refused
//           A session that is over deletes nothing: the next incarnation, or whoever gains its partitions, does.
// Threads   The io thread. Handlers must not call back.
// Source    PROTOCOL.md, "Consuming"; measured: W2, W4, W5 of the Go library.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consume/feed.h"
#include "jetstream/client.h"

namespace parti::consume {

class WorkerFeed : public std::enable_shared_from_this<WorkerFeed> {
public:
    struct Handlers {
        std::function<std::vector<std::string>()> wanted;                  // subjects owned now, sorted
        std::function<std::shared_ptr<runtime::SessionTokens>()> session;  // of what is owned; null: nothing is
        std::function<void(bool paused)> pause;  // handlers begin, or not; paused: what waits is dropped
        std::function<bool()> busy;              // something is held
        std::function<void()> gone;              // no durable of ours holds anything back: release what is lost
        std::function<void(jetstream::Message)> on_message;
        std::function<void(Error)> on_trouble;
        std::function<void(std::uint64_t pending)> on_pending;  // messages not yet delivered, by the server's word
    };
    WorkerFeed(std::shared_ptr<jetstream::Link> link, jetstream::Client& client, std::shared_ptr<const Shop> shop,
               std::string group, std::string stream_created, Duration patience, std::shared_ptr<Flow> flow, Handlers handlers);

    void advance();                 // something has changed
    void check(core::Instant now);  // from the consumer's timer
    void reconnected();
    void close();
    void refill();
    bool flowing() const { return phase_ == Phase::settled && feed_ && feed_->flowing(); }
    bool unsettled() const { return phase_ != Phase::settled || (feed_ && !feed_->flowing()); }
    std::string trouble() const { return feed_ ? feed_->trouble() : trouble_; }

private:
    enum class Phase : std::uint8_t { settled, quiescing, flushing, deleting, clearing, over };
    using Answered = std::function<void(WorkerFeed&, Result<std::string>)>;

    void ask(const std::string& subject, const std::string& body, Answered then);
    void quiesce();
    void flush();
    void remove_own();
    void removed();
    void clear(std::uint64_t offset);
    void judge();
    void create();
    void refused(const std::optional<jetstream::ApiError>& error);

    std::shared_ptr<jetstream::Link> link_;
    jetstream::Client& client_;
    const std::shared_ptr<const Shop> shop_;
    const std::string group_;
    const std::string stream_created_;
    const Duration patience_;
    const std::shared_ptr<Flow> flow_;
    Handlers handlers_;
    std::shared_ptr<Feed> feed_;

    Phase phase_ = Phase::settled;
    std::uint64_t generation_ = 0;
    std::vector<std::string> filters_;  // of the durable that is, or is being made; empty: none
    std::string durable_;
    std::string cleared_for_;  // the durable's name that leftovers were looked for last
    std::vector<std::string> leftovers_;
    core::Instant quiesce_by_;
    std::optional<core::Instant> again_;
    std::string trouble_;
};

}  // namespace parti::consume
