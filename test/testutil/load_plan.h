// LoadPlan, LoadSchedule: when which partition's message is due; the same for every run of a seed.
//
// Role      The pure half of the load generator (load_generator.h).
// Model     Phases follow each other; within one the rate goes linearly from `rate_from` to `rate_to`. Messages are evenly spaced
//           by the rate; the partition of each is drawn by its weight:
//             uniform  all the same;
//             zipf     the k-th heaviest has the weight 1 / k^exponent;
//             hot      `hot_partitions` of them (at least one) get `hot_share` of the messages.
//           Which partitions are the heavy ones is drawn from the seed.
// Units     Rates in messages/s, offsets in ns from the start.
// Errors    check_plan names the value and the rule; a schedule of a plan that breaks one is empty.
// Threads   One thread.
// Cost      A binary search over the partitions a message; 8 bytes a partition.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "testutil/outcome.h"

namespace parti::test {

enum class Weights : std::uint8_t { uniform, zipf, hot };
std::string_view name(Weights weights);

struct LoadPhase {
    std::chrono::milliseconds duration{0};
    double rate_from = 0, rate_to = 0;
};

struct LoadPlan {
    std::uint64_t seed = 0;
    std::uint32_t partitions = 1;
    Weights weights = Weights::uniform;
    double zipf_exponent = 1.0;
    double hot_partitions = 0.05, hot_share = 0.5;
    std::vector<LoadPhase> phases;

    double messages() const;  // over all phases
    std::chrono::milliseconds duration() const;
};
Outcome<void> check_plan(const LoadPlan& plan);

struct DueMessage {
    std::int64_t offset_ns = 0;
    std::uint32_t partition = 0;
};

class LoadSchedule {
public:
    explicit LoadSchedule(LoadPlan plan);
    std::optional<DueMessage> next();
    // Share of the messages that a partition gets.
    double share(std::uint32_t partition) const;

private:
    void weigh();
    std::uint32_t draw();

    LoadPlan plan_;
    std::mt19937_64 random_;
    std::vector<double> cumulative_;  // of the shares
    std::size_t phase_ = 0;
    double before_ = 0;  // messages of the phases before
    std::int64_t phase_begin_ns_ = 0;
    std::uint64_t index_ = 0;
};

}  // namespace parti::test
