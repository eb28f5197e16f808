// WatchState: one ordered push consumer on a bucket, or on any stream's subjects, that notices its own death and comes back
//
//
// Model     waiting -> looking (stream's identity) -> creating -> confirming (identity again) -> reading (values that were there)
//           -> live; any doubt (missed heartbeats, a gap in the consumer's sequence, a reconnect, no stream) goes back to waiting
//           with jittered back-off. Every attempt has its own consumer name and its own token, so nothing of an old one is taken
//           for the new one. Identity is read before and after the creation: equal ones prove which stream the consumer is on.
//           `keys_` filters revisions that were delivered already and shows which keys are missing after a re-read.
// Errors    None to the caller: it goes on until it is closed. on_lost once per loss; on_recovered (after on_initial_done, when
//           that was still due) once it has been re-read. A first creation that fails is no loss.
// Threads   The io thread. Handlers may close the watch.
// Cost      One timer; per key seen its name, a revision and a generation.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include <boost/asio/steady_timer.hpp>

#include "jetstream/json.h"
#include "jetstream/link.h"
#include "jetstream/nats_client.h"
#include "jetstream/reaper.h"

namespace parti::jetstream {

class WatchState : public std::enable_shared_from_this<WatchState> {
public:
    WatchState(std::shared_ptr<Link> link, std::shared_ptr<Reaper> reaper, SubjectsSpec spec, WatchHandlers handlers);
    void start();
    void close();
    void reread();

private:
    enum class Phase : std::uint8_t { waiting, looking, creating, confirming, reading, live, closed };
    struct Seen {
        std::uint64_t revision = 0;
        std::uint64_t time = 0;        // as the stream stored it: the same revision with another time is another history
        std::uint64_t generation = 0;  // of the attempt that read it last
    };

    void attempt();
    void look(void (WatchState::*next)(const StreamState&));
    void on_looked(const StreamState& state);
    void create();
    void on_created(Result<Message> answer);
    void on_confirmed(const StreamState& state);
    bool history_differs(const StreamState& state, std::string& why) const;
    void history_lost(const std::string& why);

    void on_message(Message message);
    void on_status(const Message& message);
    void on_entry(const Message& message, const Delivery& delivery);
    void initial_complete();
    void report_missing();

    void back_off(const Error& why);
    void lost(const std::string& why);
    void abandon();
    void arm(Duration after);
    void on_timer();
    bool active() const { return phase_ != Phase::waiting && phase_ != Phase::closed; }

    std::shared_ptr<Link> link_;
    std::shared_ptr<Reaper> reaper_;
    const SubjectsSpec spec_;
    const WatchHandlers handlers_;
    boost::asio::steady_timer timer_;

    Phase phase_ = Phase::waiting;
    std::uint64_t generation_ = 0;  // of attempts
    std::string consumer_;          // of this attempt
    Token token_ = 0;
    bool created_ = false;        // the creation was asked for
    std::vector<Message> early_;  // deliveries before the confirmation
    std::uint64_t initial_ = 0;   // values that were there at creation
    std::uint64_t initial_last_sequence_ = 0;
    std::uint64_t delivered_ = 0;  // last consumer sequence
    std::uint64_t reconnects_ = 0;
    unsigned missed_ = 0;
    bool heard_ = false;

    std::unordered_map<std::string, Seen> keys_;
    std::uint64_t highest_ = 0;  // revision
    std::string identity_;       // of the stream, as of the last attempt that got so far
    std::string looked_identity_;
    bool initial_done_ = false;  // told
    bool lost_ = false;          // told, not recovered
    bool warned_ = false;
    Duration pause_{};
};

}  // namespace parti::jetstream
