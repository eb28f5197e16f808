// Client: an asynchronous JetStream and KV client on nats.c's core connection.
//
// Role      Moves bytes; knows no records. An interface: make() gives the real one; test/testutil/sim_client.h is the simulated
//           one, and one contract suite (test/integration/kv_contract_test.cpp) holds both to the same behaviour.
// Model     One wildcard inbox subscription for all answers, one subscription a watch. Requests wait in a table with deadlines.
//           Publishes carry their expectation in headers. A watch is an ordered push consumer (last per subject, idle heartbeats,
//           flow control) that notices its own death, re-creates itself with jittered back-off and re-reads the last value of
//           every key.
// Threads   Every function and every handler runs on the executor's thread (the io thread). nats.c's threads only hand messages
//           over, through a queue bounded in messages and bytes; when it is full they wait.
// Errors    Handlers are called exactly once, also when the client stops (stopping).
// Lifetime  Stop the client before the io_context goes; stop() deletes the consumers of open watches on the server (best effort).
// Source    ADR-1 (JetStream JSON API), ADR-8 (KV), ADR-17 (ordered consumer); docs/ARCHITECTURE.md for what was measured.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <parti/config.h>
#include <parti/log.h>
#include <parti/result.h>
#include <parti/types.h>

struct __natsConnection;
namespace boost::asio {
class io_context;
}

namespace parti::jetstream {

struct ClientOptions {
    std::size_t handover_messages_max = 4096;
    std::size_t handover_bytes_max = 8U << 20U;
    Duration watch_heartbeat = std::chrono::milliseconds(500);  // idle heartbeat; a watch is dead after three missed; >= 100 ms
    std::uint64_t seed = 0;                                     // for jitter
    LogSink log;
};

struct BucketSpec {
    std::string name;  // stream KV_<name>
    Storage storage = Storage::file;
    std::uint32_t replicas = 1;
    bool create = true;  // create when absent (else not_found)
};
struct BucketInfo {
    std::string stream;
    std::string created;  // the stream's creation time as the server writes it: its identity
    std::uint64_t last_sequence = 0;
    std::size_t payload_bytes_max = 0;  // of the server
    bool was_created = false;
};

enum class PutResult : std::uint8_t { done, wrong_revision, no_information };
struct PutAnswer {
    PutResult result = PutResult::no_information;
    // done: of this write; wrong_revision: the key's last one, as the server's text says (0: not said)
    std::uint64_t revision = 0;
    Error error;  // when not done
};

enum class EntryKind : std::uint8_t { value, marker, absent };
struct RawEntry {
    EntryKind kind = EntryKind::absent;
    std::string key;
    std::string bytes;  // of a value
    std::uint64_t revision = 0;
};

struct WatchHandlers {
    // In revision order within one consumer's life. After a re-creation the last value of every key comes again; revisions that
    // were delivered before are not repeated. A key that is missing from the re-read comes as EntryKind::absent (revision 0).
    std::function<void(RawEntry)> on_entry;
    std::function<void()> on_initial_done;                // once: every value present at creation has been delivered
    std::function<void(const std::string& why)> on_lost;  // the consumer is dead; re-creation is under way
    std::function<void()> on_recovered;                   // re-created and re-read (after on_initial_done, when still due)
    std::function<void(const std::string& why)> on_history_lost;  // the stream is another one, or went back: before the re-read
    // What is known of the stream from elsewhere: a watch that finds another one, or a lower last sequence, tells
    // on_history_lost.
    std::string known_identity;  // empty: nothing
    std::uint64_t known_revision = 0;
    std::function<void(const std::string& identity)> on_stream;  // before each read: the stream's identity (BucketInfo::created)
    // an attempt to create the consumer found that the stream does not exist
    std::function<void()> on_missing;
};

class Watch {  // destroying it ends the watch and deletes its consumer
public:
    virtual ~Watch() = default;
};

struct ClientStats {
    std::uint64_t requests = 0;
    std::uint64_t answers = 0;
    std::uint64_t answers_late = 0;
    std::uint64_t watch_messages = 0;
    std::uint64_t watch_recreations = 0;
    std::uint64_t handover_waits = 0;
    std::size_t pending_requests = 0;
};

class Client {
public:
    // The connection must outlive the client. Errors: link_down, internal.
    static Result<std::shared_ptr<Client>> make(boost::asio::io_context& io, __natsConnection* connection, ClientOptions options);
    virtual ~Client() = default;

    // Creates or checks a bucket: history 1, no max age, deny_delete, deny_purge, no rollups, direct reads off the path.
    // Errors: bucket_mismatch (naming both values), unsupported_server, not_found, timeout, link_down, permission, not_ready.
    virtual void ensure_bucket(const BucketSpec& spec, Duration timeout, std::function<void(Result<BucketInfo>)> handler) = 0;

    // Compare-and-set put: expected = the revision the key must have now; 0 = no message for the key at all (a marker
    // counts as a message). Never retried here. no_information covers link down, no responders, timeout and any other rejection.
    virtual void put(const std::string& bucket, const std::string& key, std::string_view bytes, std::uint64_t expected,
                     Duration timeout, std::function<void(PutAnswer)> handler) = 0;

    // The longest value that put() can write on the present connection.
    virtual std::size_t value_bytes_max() const = 0;

    // The key's last message through the stream's leader (STREAM.MSG.GET), never a direct get.
    virtual void get(const std::string& bucket, const std::string& key, Duration timeout,
                     std::function<void(Result<RawEntry>)> handler) = 0;

    // `pattern` is a key, "worker.*" or ">".
    virtual std::unique_ptr<Watch> watch(const std::string& bucket, const std::string& pattern, WatchHandlers handlers) = 0;

    // For tools, tests and the consumption to come: $JS.API.<subject> with a JSON body; the answer's JSON or its error.
    virtual void api(const std::string& subject, std::string_view body, Duration timeout,
                     std::function<void(Result<std::string>)> handler) = 0;

    virtual void stop(std::function<void()> done) = 0;
    virtual ClientStats stats() const = 0;
};

}  // namespace parti::jetstream
