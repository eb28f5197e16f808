// Naming: subjects and durable names that belong to a partition.
//
// Role      Pure. A template renders a partition's subject; a partition's id becomes part of a durable's name, one to one.
// Model     Template: tokens joined by '.', each literal or with "{i}" in it ("shard-{1}"), i counting the partition's keys from
//           0. Durable names may not hold '.', '*', '>', '/', '\' or blanks, so: letters, digits and '-' stand for themselves,
//              '.' becomes '_',
//           every other byte '=XX' in hex ('_' too). So two partitions never share a name.
// Errors    invalid_config (template), invalid_argument (partition that does not fit), naming value and rule.
// Threads   Values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <parti/types.h>

namespace parti::consume {

inline constexpr std::size_t kDurableBytesMax = 200;

class SubjectTemplate {
public:
    // constant: may name no key (a dead-letter subject). `what` names the setting in errors.
    static Result<SubjectTemplate> parse(std::string_view text, std::string_view what = "subject", bool constant = false);

    // Errors: the partition has fewer keys than the template names.
    Result<std::string> render(const Partition& partition) const;
    // With '*' for every token that depends on the partition.
    const std::string& pattern() const { return pattern_; }
    const std::string& text() const { return text_; }

private:
    struct Piece {
        std::string literal;
        std::optional<std::size_t> key{};  // after the literal
    };
    std::string text_;
    std::string pattern_;
    std::vector<Piece> pieces_;
};

// Does the subscription `wide` receive everything that `narrow` (subject or pattern) does?
bool covers(std::string_view wide, std::string_view narrow);

// Errors: the name would be longer than kDurableBytesMax.
Result<std::string> partition_durable(std::string_view prefix, const Partition& partition);
std::string worker_durable(std::string_view prefix, WorkerNumber number, Incarnation incarnation);

struct WorkerDurable {
    WorkerNumber number;
    Incarnation incarnation;
};
// The reverse of worker_durable; absent: not a durable of this prefix.
std::optional<WorkerDurable> parse_worker_durable(std::string_view prefix, std::string_view name);

}  // namespace parti::consume
