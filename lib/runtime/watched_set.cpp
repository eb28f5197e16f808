#include "runtime/watched_set.h"

#include <algorithm>
#include <charconv>

#include "wire/fields.h"
#include "wire/json_tape.h"

namespace parti::runtime {

namespace {

constexpr std::size_t kTokenMax = 99;
constexpr std::size_t kProblemsNamed = 5;
constexpr const char* kWeightRule = "a weight is nothing (1), a whole number or {\"weight\": number}, in 1..1000000000";

}  // namespace

Result<PartitionRule> PartitionRule::make(std::string_view text) {
    const auto bad = [text](const char* rule) {
        return fail(Errc::invalid_argument, "partition template '" + std::string(text) + "': " + rule);
    };
    PartitionRule rule{std::string(text)};
    bool any_token = false;
    while (!text.empty()) {
        if (text.front() == '}') return bad("'}' without '{'");
        if (text.front() != '{') {
            const std::size_t end = std::min(text.find_first_of("{}"), text.size());
            rule.parts_.push_back({std::string(text.substr(0, end)), 0, false});
            text.remove_prefix(end);
            continue;
        }
        const std::size_t end = text.find('}');
        if (end == std::string_view::npos) return bad("'{' without '}'");
        std::string_view inside = text.substr(1, end - 1);
        Part part;
        if (inside.size() > 2 && inside.substr(inside.size() - 2) == "..") {
            part.rest = true;
            inside.remove_suffix(2);
        }
        const auto [stop, error] = std::from_chars(inside.data(), inside.data() + inside.size(), part.token);
        if (error != std::errc() || stop != inside.data() + inside.size() || part.token < 1 || part.token > kTokenMax)
            return bad("in braces stands the number of a token, 1..99, or with '..' for all from there on");
        any_token = true;
        rule.parts_.push_back(std::move(part));
        text.remove_prefix(end + 1);
    }
    if (!rule.parts_.empty() && !any_token) return bad("it has no {n}, so that all keys would be one partition");
    return rule;
}

Result<std::string> PartitionRule::apply(std::string_view key) const {
    if (parts_.empty()) return std::string(key);
    std::vector<std::size_t> begins = {0};  // of tokens
    for (std::size_t at = key.find('.'); at != std::string_view::npos; at = key.find('.', at + 1)) begins.push_back(at + 1);
    std::string id;
    for (const Part& part : parts_) {
        if (part.token == 0) {
            id += part.text;
            continue;
        }
        if (part.token > begins.size()) {
            return fail(Errc::invalid_argument, "it has " + std::to_string(begins.size()) + " tokens; the template '" + text_ +
                                                    "' asks for token " + std::to_string(part.token));
        }
        const std::size_t begin = begins[part.token - 1];
        const std::size_t end = part.rest || part.token == begins.size() ? key.size() : begins[part.token] - 1;
        id += key.substr(begin, end - begin);
    }
    return id;
}

Result<std::int64_t> parse_weight(std::string_view value) {
    if (value.empty()) return 1;
    const auto bad = [value](const std::string& why) {
        return fail(Errc::malformed_record, "its value " + wire::quoted(value) + " " + why + "; " + kWeightRule);
    };
    const auto tape = wire::Tape::parse(value);
    if (!tape) return bad("is not JSON");
    wire::Tape::Value number = tape->root();
    if (number.is(wire::Tape::Kind::object)) {
        wire::Fields fields(number);
        const auto found = fields.find("weight", wire::Presence::optional);
        if (!fields.finish()) return bad("is not readable (" + fields.problem() + ")");
        if (!found) return 1;
        number = *found;
    }
    constexpr std::uint64_t kMax = 1'000'000'000;
    if (!number.is(wire::Tape::Kind::unsigned_number) || number.number() < 1 || number.number() > kMax)
        return bad("is no weight");
    return static_cast<std::int64_t>(number.number());
}

std::optional<WatchedSet::Place> WatchedSet::place(const std::string& key, std::string& why) const {
    auto id = rule_.apply(key);
    if (!id) {
        why = id.error().detail;
        return std::nullopt;
    }
    if (const auto made = Partition::from_id(*id); !made) {
        why = made.error().detail;
        return std::nullopt;
    }
    return Place{std::move(*id), rule_.whole() ? std::string() : key};
}

void WatchedSet::put(const std::string& key, const Result<std::int64_t>& weight) {
    std::string why;
    auto at = place(key, why);
    if (!at) {
        set_problem(key, std::move(why) + "; it is left out");
        return;
    }
    if (weight) {
        clear_problem(key);
    } else {
        set_problem(key, weight.error().detail + "; it counts as 1");
    }
    const std::int64_t value = weight ? *weight : 1;
    const auto [entry, is_new] = entries_.try_emplace(std::move(*at), value);
    set_changed_ |= is_new || entry->second != value;
    entry->second = value;
}

void WatchedSet::remove(const std::string& key) {
    clear_problem(key);
    std::string why;
    const auto at = place(key, why);
    if (at && entries_.erase(*at) != 0) set_changed_ = true;
}

void WatchedSet::clear() {
    set_changed_ |= !entries_.empty();
    problem_changed_ |= !problems_.empty();
    entries_.clear();
    problems_.clear();
    problems_more_ = 0;
}

void WatchedSet::set_problem(const std::string& key, std::string why) {
    const auto found = problems_.find(key);
    if (found != problems_.end()) {
        if (found->second == why) return;
        found->second = std::move(why);
    } else if (problems_.size() < kProblemsKept) {
        problems_.emplace(key, std::move(why));
    } else {
        ++problems_more_;
    }
    problem_changed_ = true;
}

void WatchedSet::clear_problem(const std::string& key) {
    if (problems_.empty() || problems_.erase(key) == 0) return;
    problem_changed_ = true;
    if (problems_.empty()) problems_more_ = 0;
}

Result<std::shared_ptr<const PartitionSet>> WatchedSet::build() const {
    std::vector<Partition> out;
    out.reserve(rule_.whole() ? entries_.size() : 0);
    for (auto it = entries_.begin(); it != entries_.end();) {
        const std::string& id = it->first.first;
        std::int64_t heaviest = it->second;
        auto next = std::next(it);
        for (; next != entries_.end() && next->first.first == id; ++next) heaviest = std::max(heaviest, next->second);
        auto made = Partition::from_id(id, heaviest);
        if (!made) return tl::unexpected(made.error());
        out.push_back(std::move(*made));
        it = next;
    }
    return make_partition_set(std::move(out));
}

std::optional<Error> WatchedSet::problem() const {
    if (problems_.empty()) return std::nullopt;
    std::string detail;
    std::size_t named = 0;
    for (const auto& [key, why] : problems_) {
        if (named == kProblemsNamed) break;
        detail += (named++ == 0 ? "key " : "; key ") + wire::quoted(key) + ": " + why;
    }
    const std::size_t more = problems_.size() - named + problems_more_;
    if (more > 0) detail += "; and " + std::to_string(more) + " more";
    return Error{Errc::malformed_record, std::move(detail)};
}

}  // namespace parti::runtime
