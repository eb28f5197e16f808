// Source: the set of partitions a group shares.
//
// Model     A source hands out immutable snapshots. Every worker of a group must use sources that agree; only the leader's is
//           used. Share one source object between the workers of a process: they then share one snapshot, one listener and each
//           answer. Sources: StaticSource and function_source here, those that watch NATS in parti/nats_sources.h, or your own.
// Threads   All functions from any thread. The workers of a context never ask one source twice at the same time. A list() or
//           refresh() that never returns is reported; workers that run already go on with the set they have, those that start
//           wait until startup_timeout. With one callback thread all callbacks wait until it is written off (drain_timeout).
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <parti/types.h>

namespace parti {

// Strictly ascending by id; at most kPartitionsMax, with at most kPartitionBytesMax of ids.
using PartitionSet = std::vector<Partition>;
inline constexpr std::size_t kPartitionsMax = 1'000'000;
// of all ids together: one worker may own them all, and a record ends at 64 MB
inline constexpr std::size_t kPartitionBytesMax = 48'000'000;

class Source {
public:
    // A new set; or what is wrong with the source while the last set stays (told through every worker's on_error). It must not
    // call update() of its source. A null set is ignored.
    using Listener = std::function<void(const Result<std::shared_ptr<const PartitionSet>>&)>;

    virtual ~Source() = default;
    // Sorted, unique. Called on a callback thread (never the io thread) at start. Errors: any; workers that start ask again until
    // startup_timeout. not_ready from a source with listeners is no trouble: it will tell.
    virtual Result<std::shared_ptr<const PartitionSet>> list() = 0;
    // As list(), for Worker::refresh_partitions(): a source that keeps what it knows looks anew. It may answer with what it has
    // and tell its listeners when it knows better.
    virtual Result<std::shared_ptr<const PartitionSet>> refresh() { return list(); }
    // The listener is called (from any thread) after each change until the returned handle is destroyed, which it must not do
    // itself. Sources that cannot tell return nullptr (what throws is reported, and counts as that); called once a context. Those
    // of parti catch and report what a listener throws.
    virtual std::shared_ptr<void> listen(Listener listener) = 0;
};

// A fixed list that the owner may replace with update(); every worker that uses the source hears of it.
class StaticSource : public Source {
public:
    // Errors, of both: invalid_argument naming a partition that occurs twice, or the limit; of update() also callback_failed: the
    // set is the new one, but a listener threw.
    static Result<std::shared_ptr<StaticSource>> make(std::vector<Partition> partitions);
    virtual Result<void> update(std::vector<Partition> partitions) = 0;
};

// A user function, called at start and on every refresh. It may block; it may throw (reported as callback_failed).
std::shared_ptr<Source> function_source(std::function<Result<std::vector<Partition>>()> function);

// Sorts and checks a list: shared by all sources. Errors: invalid_argument.
Result<std::shared_ptr<const PartitionSet>> make_partition_set(std::vector<Partition> partitions);

}  // namespace parti
