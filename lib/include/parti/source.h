// Source: the set of partitions a group shares.
//
// Model     A source hands out immutable snapshots. Every worker of a group must use sources that agree; only the leader's is used.
//           Share one source object between the workers of a process: they then share one snapshot.
// Threads   All functions from any thread.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include <parti/types.h>

namespace parti {

// Strictly ascending by id; at most kPartitionsMax, with at most kPartitionBytesMax of ids.
using PartitionSet = std::vector<Partition>;
inline constexpr std::size_t kPartitionsMax = 1'000'000;
inline constexpr std::size_t kPartitionBytesMax = 48'000'000;  // of all ids together: one worker may own them all, and a record ends at 64 MB

class Source {
public:
    using Listener = std::function<void(std::shared_ptr<const PartitionSet>)>;

    virtual ~Source() = default;
    // Sorted, unique. Called on a callback thread (never the io thread) at start and on Worker::refresh_partitions().
    virtual Result<std::shared_ptr<const PartitionSet>> list() = 0;
    // The listener is called (from any thread) after each change until the returned handle is destroyed. Sources that cannot tell
    // return nullptr.
    virtual std::shared_ptr<void> listen(Listener listener) = 0;
};

// A fixed list that the owner may replace with update(); every worker that uses the source hears of it.
class StaticSource : public Source {
public:
    // Errors: invalid_argument naming a partition that occurs twice, or the limit.
    static Result<std::shared_ptr<StaticSource>> make(std::vector<Partition> partitions);
    virtual Result<void> update(std::vector<Partition> partitions) = 0;
};

// A user function, called at start and on every refresh. It may block; it may throw (reported as callback_failed).
std::shared_ptr<Source> function_source(std::function<Result<std::vector<Partition>>()> function);

// Sorts and checks a list: shared by all sources. Errors: invalid_argument.
Result<std::shared_ptr<const PartitionSet>> make_partition_set(std::vector<Partition> partitions);

}  // namespace parti
