// Hub: one view of a group's two buckets, shared by all workers of a process.
//
// Role      Turns interests into watches (the union of what its members want: R-8), decodes each message once, keeps the last
//           entry of every watched key with the instant this process first saw it, and tells each member what it asked for.
//           Carries out Put and Fetch. Decides nothing about the protocol.
// Model     Over jetstream::Client only, so that the simulation runs this very code on a simulated client.
//           set_interest(): entries that are known already are delivered from the cache; SnapshotDone follows when every watch
//           the interest needs has delivered its initial values. A watch that nobody needs is closed (after what replaces it is
//           complete). If anyone wants all leases: one watch "worker.*"; else one watch per wanted key. Same for assignments;
//           head and control are always watched while there is a member. Entries of one key reach a member in revision order and
//           once. A key that vanished in a re-read is delivered as Absent with revision 0. A changed or rolled-back stream is
//           HistoryLost, to every member, then the present entries, then SnapshotDone for the members' newest interest.
// Large     An assignment record that is longer than `limits.plain_bytes_max` is written packed, and in chunks when it does not
//           fit into one message (chunk_write.h, chunk_read.h). Members see whole records only: one that names chunks is
//           delivered once they have been read, and holds up SnapshotDone until then; a newer one takes its place.
//           A stream that does not exist is BucketMissing, to every member, and again when it does; create() makes it.
// Delivery  Never from inside a call of a member: always through `defer`, at most `turn_events_max` events at a time, answers
//           first (hub_queue.h). Without that the claims of 1,000 workers of one process were told in turns of up to 380,000
//           events, for 1.1 s each on a busy machine, and answers that had come meanwhile waited that long (measured 2026-11-28).
// Threads   One thread (the io thread).
// Cost      Per watched key one entry; nothing per member but its interest.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "core/io.h"
#include "jetstream/client.h"

namespace parti::runtime {

struct RecordLimits {
    std::size_t plain_bytes_max = 64U << 10U;   // longer records are packed: below, operators can read them as they are
    std::size_t message_bytes_max = 1U << 20U;  // a packed record in one message; never more than the server takes
    std::size_t chunk_bytes_max = 512U << 10U;  // likewise
};

struct HubShell {
    std::function<core::Instant()> now;
    std::function<void(std::function<void()>)> defer;  // run later on the same thread, in order
    std::function<RecordValue(Bucket, const Key&, std::string_view)> decode;
    std::function<std::string(const RecordValue&)> encode;
    std::function<void(core::Instant)> wake;  // call Hub::tick() then; a later call takes the place of an earlier one
    RecordLimits limits;
    std::size_t turn_events_max = 1024;              // delivered before whatever else waits has its turn: a few milliseconds
    jetstream::BucketSpec spec;                      // how create() makes a bucket; its name is filled in
    Duration put_timeout = std::chrono::seconds(5);  // how long a pending answer is remembered; the core repeats on its own
    LogSink log;
};

class Hub {
public:
    using MemberId = std::uint64_t;
    using Deliver = std::function<void(core::Event)>;

    // The client must outlive the hub.
    static std::unique_ptr<Hub> make(jetstream::Client& client, std::string lease_bucket, std::string assignment_bucket,
                                     HubShell shell);
    virtual ~Hub() = default;

    virtual MemberId join(Deliver deliver) = 0;
    virtual void leave(MemberId member) = 0;  // nothing is delivered afterwards
    virtual void set_interest(MemberId member, const core::Interest& interest) = 0;
    virtual void put(MemberId member, const core::Put& put) = 0;        // answered by WriteAnswered
    virtual void fetch(MemberId member, const core::Fetch& fetch) = 0;  // answered by FetchAnswered

    virtual void tick() = 0;                                           // the time given to shell.wake has come
    virtual void distrust(Bucket bucket, const std::string& why) = 0;  // HistoryLost to every member, and all is read again
    virtual void create(Bucket bucket) = 0;  // makes the bucket when it does not exist; BucketMissing tells when it does

    virtual std::size_t watches() const = 0;  // open on the server now
    virtual std::size_t queued() const = 0;   // events not yet delivered
};

// Bucket names of a group.
inline std::string lease_bucket_name(const std::string& group) { return "parti_" + group + "_lease"; }
inline std::string assignment_bucket_name(const std::string& group) { return "parti_" + group + "_assignment"; }

}  // namespace parti::runtime
