// WatchedSet: keys of a bucket, or subjects of a stream, as a set of partitions.
//
// Role      Pure: what a key and its value mean, what is wrong with them, and the set they make together.
// Model     A function of the present keys and values alone, whatever the order they came in.
// Errors    PartitionRule::make: invalid_argument. Else problem(): the standing one, naming the first few keys with the rule each
//           breaks.
// Threads   One at a time.
// Cost      Per key one map node. build() is linear in the keys.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <parti/source.h>

namespace parti::runtime {

// "{2}.{3..}": a partition's id out of the tokens of a key.
class PartitionRule {
public:
    static Result<PartitionRule> make(std::string_view text);  // empty: the key itself
    Result<std::string> apply(std::string_view key) const;
    bool whole() const { return parts_.empty(); }

private:
    struct Part {
        std::string text;       // literal, when token is 0
        std::size_t token = 0;  // from 1
        bool rest = false;      // and all that follow
    };
    explicit PartitionRule(std::string text) : text_(std::move(text)) {}
    std::string text_;
    std::vector<Part> parts_;
};

// "" = 1, "5", {"weight": 5}. Errors: malformed_record.
Result<std::int64_t> parse_weight(std::string_view value);

class WatchedSet {
public:
    explicit WatchedSet(PartitionRule rule) : rule_(std::move(rule)) {}

    void put(const std::string& key, const Result<std::int64_t>& weight);
    void remove(const std::string& key);
    void clear();
    std::size_t keys() const { return entries_.size(); }
    // Did the set, or what is wrong, change since the last call?
    bool take_set_changed() { return std::exchange(set_changed_, false); }
    bool take_problem_changed() { return std::exchange(problem_changed_, false); }

    Result<std::shared_ptr<const PartitionSet>> build() const;
    std::optional<Error> problem() const;

private:
    static constexpr std::size_t kProblemsKept = 64;
    using Place = std::pair<std::string, std::string>;  // partition id, key (empty when it is the id)

    std::optional<Place> place(const std::string& key, std::string& why) const;
    void set_problem(const std::string& key, std::string why);
    void clear_problem(const std::string& key);

    const PartitionRule rule_;
    std::map<Place, std::int64_t> entries_;
    std::map<std::string, std::string> problems_;
    std::size_t problems_more_ = 0;  // beyond those kept
    bool set_changed_ = false;
    bool problem_changed_ = false;
};

}  // namespace parti::runtime
