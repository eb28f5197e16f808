// kv_source, stream_subjects_source: partitions that live in NATS and are watched there.
//
// Model     Every key of a KV bucket, or every subject that has a message in a stream, that matches `filter` names a partition. A
//           watch tells each change; changes are gathered for `settle` (a steady flow for at most `settle_max`) and told as one
//           new set. The set is what the server has: two processes that have read the same state have the same set.
//           `partition` makes a partition's id out of a key or subject: "" takes it whole; else text with {n} (token n, from 1)
//           and {n..} (token n and all that follow): "{2}.{3}" makes "eu.42" of "orders.eu.42.paid". Several keys may name one
//           partition; the heaviest counts.
//           KV values: nothing = weight 1; a whole number, or an object {"weight": 5}. Without `weights`, values are not even
//           sent. A delete or purge marker removes a key. What goes without a marker (a message purged, expired or removed from a
//           stream, a key past its bucket's age) is noticed when the watch is made anew, or on Worker::refresh_partitions(),
//           which reads all of it again. Streams need limits retention: a work queue refuses such a consumer (a clear error).
// Units     Durations are std::chrono. settle: 0..settle_max; settle_max <= 60 s.
// Errors    Here: invalid_argument; not_found (no such bucket or stream), permission, timeout (nothing read within `wait`).
//           Later, through every worker's on_error (and the log), while the last set is kept:
//           a value that is no weight (its partition is there, with weight 1) or a key that makes no partition (it is left out),
//           named with the rule; the bucket or stream is gone (not_found), until it is back; more than keys_max keys (overloaded:
//           nothing further is read until refresh_partitions()).
// Threads   Called from any thread but parti's io thread; blocks for at most `wait`. Listeners are called on the io thread: they
//           must not block; what one throws is logged.
// Lifetime  A source holds its context open. The consumer on the server goes when the last handle of the source does; make one
//           source per process and share it between the workers.
// Cost      One ordered consumer (a heartbeat message every 0.5 s at rest), no thread. About 250 bytes and three copies of the
//           name per key. Making one reads the last message of every key (streams, and buckets without weights: headers only).
#pragma once

#include <memory>
#include <string>

#include <parti/context.h>
#include <parti/source.h>

namespace parti {

struct WatchOptions {
    Duration settle = std::chrono::milliseconds(50);  // told when nothing has changed for so long
    Duration settle_max = std::chrono::seconds(1);    // or when the first change is so old
    Duration wait = std::chrono::seconds(5);          // for the first read; 0 = do not wait, workers start once it is there
    std::size_t keys_max = kPartitionsMax;            // bounds the memory; 1..kPartitionsMax
};

struct KvSourceOptions {
    std::string bucket{};
    std::string filter = ">";  // keys that count: "tenants.*"
    std::string partition{};   // "" = the key
    bool weights = true;       // values carry weights
    WatchOptions watch{};
};
Result<std::shared_ptr<Source>> kv_source(const Context& context, const KvSourceOptions& options);

struct StreamSubjectsOptions {
    std::string stream{};
    std::string filter = ">";  // subjects that count: "orders.*.>"
    std::string partition{};   // "" = the subject
    WatchOptions watch{};
};
Result<std::shared_ptr<Source>> stream_subjects_source(const Context& context, const StreamSubjectsOptions& options);

}  // namespace parti
