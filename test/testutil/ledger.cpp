#include "testutil/ledger.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace parti::test {
namespace {

constexpr std::uint64_t kTextsMax = 10;  // of one class; the counts go on

struct Entry {
    const Handling* handling = nullptr;
    const std::string* label = nullptr;
};

std::string ms_of(std::int64_t ns) { return std::to_string(ns / 1'000'000) + " ms"; }

std::string text_of(const Entry& entry) {
    const Handling& h = *entry.handling;
    return "message " + std::to_string(h.sequence) + " of " + h.partition + " (stream sequence " +
           std::to_string(h.stream_sequence) + ", delivery " + std::to_string(h.delivered) + ") by " + *entry.label + " at " +
           ms_of(h.begin_ns);
}

class Disturbances {
public:
    Disturbances(const std::vector<Disturbance>& all, const LedgerOptions& options) : all_(all), options_(options) {}

    // The ack of this handling may not have reached the server.
    bool kept_ack_from_arriving(const Entry& entry) const {
        return any([&](const Disturbance& d) {
            return (of_server(d) || d.label == *entry.label) && entry.handling->end_ns >= d.from_ns - options_.ack_window_ns &&
                   entry.handling->begin_ns <= d.to_ns;
        });
    }
    // The server may have forgotten the ack of `first` when it crashed, before `again` began.
    bool server_forgot(const Entry& first, const Entry& again) const {
        return any([&](const Disturbance& d) {
            return d.kind == Disturbance::Kind::server_crashed &&
                   first.handling->end_ns >= d.from_ns - options_.replay_window_ns && first.handling->end_ns <= d.from_ns &&
                   again.handling->begin_ns >= d.from_ns;
        });
    }
    // Server crashes, as the times from which they count.
    std::vector<std::int64_t> crashes() const {
        std::vector<std::int64_t> out;
        for (const Disturbance& d : all_) {
            if (d.kind == Disturbance::Kind::server_crashed) out.push_back(d.from_ns);
        }
        return out;
    }
    bool server_crashed_between(std::int64_t from_ns, std::int64_t to_ns) const {
        return any([&](const Disturbance& d) {
            return d.kind == Disturbance::Kind::server_crashed && d.to_ns >= from_ns && d.from_ns <= to_ns;
        });
    }
    // Its process was stopped while it ran, or just before it began.
    bool was_stopped(const Entry& entry) const {
        return any([&](const Disturbance& d) {
            return d.kind == Disturbance::Kind::process_stopped && d.label == *entry.label &&
                   entry.handling->end_ns >= d.from_ns && entry.handling->begin_ns <= d.to_ns + options_.ack_window_ns;
        });
    }

private:
    static bool of_server(const Disturbance& d) {
        return d.kind == Disturbance::Kind::server_away || d.kind == Disturbance::Kind::server_crashed;
    }
    template <class Predicate>
    bool any(Predicate predicate) const {
        return std::any_of(all_.begin(), all_.end(), predicate);
    }

    const std::vector<Disturbance>& all_;
    const LedgerOptions& options_;
};

// One partition, from the first handling to the last.
class Judge {
public:
    Judge(std::string partition, const std::vector<PublishedMessage>& published, const Disturbances& disturbances,
          const LedgerOptions& options, LedgerReport& report)
        : partition_(std::move(partition)), published_(published), disturbances_(disturbances), options_(options),
          report_(report), first_(published.size()) {}

    void run(std::vector<Entry> entries) {
        std::stable_sort(entries.begin(), entries.end(),
                         [](const Entry& a, const Entry& b) { return a.handling->begin_ns < b.handling->begin_ns; });
        note_restarts(entries);
        for (const Entry& entry : entries) {
            if (!known(entry)) continue;
            if (entry.handling->result == HandlingResult::stale) {
                ++counts().stale;
                continue;
            }
            ++counts().handlings;
            const bool late = is_late(entry);
            judge_overlap(entry);
            if (options_.in_order && !late) judge_order(entry);
            if (entry.handling->result == HandlingResult::failure) {
                ++counts().failures;
            } else {
                judge_success(entry, late);
            }
        }
        look_for_lost();
    }

private:
    LedgerCounts& counts() { return report_.counts; }

    void blame(std::uint64_t& count, Oracle oracle, const std::string& text) {
        if (++count <= kTextsMax) report_.violations.push_back({oracle, text});
    }

    bool known(const Entry& entry) {
        const std::uint64_t sequence = entry.handling->sequence;
        if (sequence != 0 && sequence <= published_.size() && published_[sequence - 1].sent_ns != 0) return true;
        blame(counts().foreign, Oracle::message_foreign, "never published: " + text_of(entry));
        return false;
    }

    bool owned(const Entry& entry) const {
        const auto spans = options_.owners.find(partition_);
        if (spans == options_.owners.end()) return false;
        return std::any_of(spans->second.begin(), spans->second.end(), [&](const OwnedSpan& span) {
            return span.label == *entry.label && entry.handling->begin_ns >= span.begin_ns &&
                   entry.handling->begin_ns <= span.end_ns;
        });
    }

    // Begun after a stop, by a thread that had checked before it. Such a call may come at any point of the others' order.
    bool is_late(const Entry& entry) {
        if (!options_.check_owners || owned(entry)) return false;
        if (disturbances_.was_stopped(entry)) {
            ++counts().late_starts;
            return true;
        }
        blame(counts().not_owned, Oracle::message_not_owned, "handled without owning the partition: " + text_of(entry));
        return false;
    }

    void judge_overlap(const Entry& entry) {
        if (running_ && entry.handling->begin_ns < running_->handling->end_ns && entry.label != running_->label &&
            !disturbances_.was_stopped(entry) && !disturbances_.was_stopped(*running_)) {
            blame(counts().overlaps, Oracle::message_overlap,
                  "two handlers at once: " + text_of(*running_) + " and " + text_of(entry));
        }
        if (!running_ || entry.handling->end_ns > running_->handling->end_ns) running_ = entry;
    }

    void judge_order(const Entry& entry) {
        const std::uint64_t key = entry.handling->stream_sequence;
        if (!cursor_ || key >= cursor_->handling->stream_sequence) {
            cursor_ = entry;
            return;
        }
        const bool was_handled = first_[entry.handling->sequence - 1].has_value();
        if (was_handled && disturbances_.server_crashed_between(cursor_->handling->begin_ns, entry.handling->begin_ns)) {
            cursor_ = entry;  // set back by the crash; from here on in order again
            return;
        }
        // A second copy of what a stopped process was in the middle of.
        if (was_handled && disturbances_.was_stopped(entry)) return;
        blame(counts().reordered, Oracle::message_order, "out of order: " + text_of(entry) + " after " + text_of(*cursor_));
    }

    // Crashes after which this partition began anew with its first message, having been further before.
    void note_restarts(const std::vector<Entry>& entries) {
        for (const std::int64_t crash : disturbances_.crashes()) {
            const auto after =
                std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.handling->begin_ns >= crash; });
            if (after != entries.begin() && after != entries.end() && after->handling->sequence == 1) restarts_.push_back(crash);
        }
    }
    bool forgotten(const Entry& before, const Entry& again) const {
        return std::any_of(restarts_.begin(), restarts_.end(), [&](std::int64_t crash) {
            return before.handling->end_ns <= crash && again.handling->begin_ns >= crash;
        });
    }

    // The lease of its owner ended, without a handover, at this time; nothing: it did not, or nobody knows.
    std::optional<std::int64_t> lease_ended_ns(const Entry& entry) const {
        const auto spans = options_.owners.find(partition_);
        if (spans == options_.owners.end()) return std::nullopt;
        for (const OwnedSpan& span : spans->second) {
            const bool of_it = span.label == *entry.label && entry.handling->begin_ns >= span.begin_ns &&
                               entry.handling->begin_ns <= span.end_ns;
            if (of_it && span.lapsed) return span.end_ns;
        }
        return std::nullopt;
    }
    // Delivered for the third time: the second one found a pull without a subscriber, and the server counted back by one.
    bool misplaced(const Entry& before) const {
        const auto ended = lease_ended_ns(before);
        return ended && before.handling->delivered >= 3 && *ended - before.handling->end_ns <= options_.ack_window_ns;
    }
    bool unfinished_at_the_leases_end(const Entry& before) const {
        const auto ended = lease_ended_ns(before);
        return ended && before.handling->end_ns > *ended;
    }

    static bool same_grant(const Entry& a, const Entry& b) {
        return *a.label == *b.label && a.handling->fence == b.handling->fence;
    }

    void judge_success(const Entry& entry, bool late) {
        auto& first = first_[entry.handling->sequence - 1];
        if (!first) {
            first = entry;
            last_success_.resize(published_.size());
            last_success_[entry.handling->sequence - 1] = entry;
            note_first(entry);
            return;
        }
        auto& last = last_success_[entry.handling->sequence - 1];
        const Entry before = std::exchange(last, entry);
        if (before.handling->stream_sequence != entry.handling->stream_sequence) {
            ++counts().published_twice;
        } else if (disturbances_.server_forgot(before, entry)) {
            ++counts().replayed;
        } else if (forgotten(before, entry)) {
            if (options_.allow_forgotten && !(options_.in_order && same_grant(before, entry))) {
                ++counts().forgotten;
            } else {
                blame(counts().forgotten, Oracle::message_duplicate,
                      "the server forgot the whole durable: " + text_of(entry) + ", before " + text_of(before));
            }
        } else if (disturbances_.kept_ack_from_arriving(before) || late || disturbances_.was_stopped(entry) ||
                   unfinished_at_the_leases_end(before)) {
            ++counts().unacked;
        } else if (options_.allow_misplaced && !same_grant(before, entry) && misplaced(before)) {
            ++counts().misplaced;
        } else {
            blame(counts().duplicates, Oracle::message_duplicate,
                  "handled again without a reason: " + text_of(entry) + ", before " + text_of(before));
        }
    }

    void note_first(const Entry& entry) {
        const PublishedMessage& message = published_[entry.handling->sequence - 1];
        ++counts().handled;
        if (message.confirmed_ns == 0) ++counts().unconfirmed_handled;
        report_.first_ns[partition_].push_back(entry.handling->begin_ns);
        const LedgerReport::Latency latency{message.intended_ns, entry.handling->begin_ns - message.intended_ns};
        report_.latencies.push_back(latency);
        report_.partition_latencies[partition_].push_back(latency);
    }

    void look_for_lost() {
        for (std::size_t i = 0; i < published_.size(); ++i) {
            const PublishedMessage& message = published_[i];
            if (message.sent_ns != 0) ++counts().published;
            if (message.confirmed_ns == 0) continue;
            ++counts().confirmed;
            if (first_[i]) continue;
            if (!options_.complete) {
                ++counts().undelivered;
                continue;
            }
            blame(counts().lost, Oracle::message_lost,
                  "never handled: message " + std::to_string(i + 1) + " of " + partition_ + " (stream sequence " +
                      std::to_string(message.stream_sequence) + "), confirmed at " + ms_of(message.confirmed_ns));
        }
    }

    const std::string partition_;
    const std::vector<PublishedMessage>& published_;
    const Disturbances& disturbances_;
    const LedgerOptions& options_;
    LedgerReport& report_;
    std::vector<std::optional<Entry>> first_;  // successes, by sequence - 1
    std::vector<Entry> last_success_;
    std::vector<std::int64_t> restarts_;  // crashes that cost the durable its state
    std::optional<Entry> running_;        // ends last of those begun so far
    std::optional<Entry> cursor_;         // the last begun in order
};

}  // namespace

Owners owners_of(const Timeline& timeline) {
    Owners owners;
    for (const auto& [partition, intervals] : timeline.partitions) {
        for (const OwnershipInterval& interval : intervals) {
            owners[partition].push_back({timeline.labels[interval.process], interval.begin_ns, interval.end_ns, interval.lapsed});
        }
    }
    return owners;
}

std::string describe(const LedgerCounts& c) {
    const std::array<std::pair<const char*, std::uint64_t>, 20> classes = {{{"published", c.published},
                                                                            {"confirmed", c.confirmed},
                                                                            {"handled", c.handled},
                                                                            {"of these unconfirmed", c.unconfirmed_handled},
                                                                            {"handlings", c.handlings},
                                                                            {"failures", c.failures},
                                                                            {"LOST", c.lost},
                                                                            {"REORDERED", c.reordered},
                                                                            {"DUPLICATE", c.duplicates},
                                                                            {"OVERLAP", c.overlaps},
                                                                            {"NOT_OWNED", c.not_owned},
                                                                            {"FOREIGN", c.foreign},
                                                                            {"undelivered", c.undelivered},
                                                                            {"unacked", c.unacked},
                                                                            {"replayed", c.replayed},
                                                                            {"forgotten", c.forgotten},
                                                                            {"misplaced", c.misplaced},
                                                                            {"late_start", c.late_starts},
                                                                            {"stale", c.stale},
                                                                            {"published_twice", c.published_twice}}};
    std::string text;
    for (const auto& [name, count] : classes)
        text.append(text.empty() ? "" : ", ").append(name).append(" ").append(std::to_string(count));
    return text;
}

std::int64_t LedgerReport::longest_gap_ns(const std::string& partition, std::int64_t from_ns, std::int64_t to_ns) const {
    const auto found = first_ns.find(partition);
    if (found == first_ns.end()) return 0;
    std::int64_t longest = 0;
    std::int64_t last = from_ns;
    const auto begin = std::lower_bound(found->second.begin(), found->second.end(), from_ns);
    for (auto at = begin; at != found->second.end() && *at <= to_ns; ++at) {
        longest = std::max(longest, *at - last);
        last = *at;
    }
    return std::max(longest, to_ns - last);
}

std::int64_t LedgerReport::longest_wait_ns(const std::string& partition, std::int64_t from_ns, std::int64_t to_ns) const {
    const auto found = partition_latencies.find(partition);
    std::int64_t longest = 0;
    if (found == partition_latencies.end()) return longest;
    for (const Latency& l : found->second) {
        if (l.intended_ns >= from_ns && l.intended_ns < to_ns) longest = std::max(longest, l.taken_ns);
    }
    return longest;
}

std::int64_t LedgerReport::longest_excess_gap_ns(const std::string& partition, std::int64_t from_ns, std::int64_t to_ns) const {
    const auto found = partition_latencies.find(partition);
    std::int64_t longest = 0;
    const Latency* before = nullptr;
    if (found == partition_latencies.end()) return longest;
    for (const Latency& l : found->second) {
        if (l.intended_ns < from_ns || l.intended_ns >= to_ns) continue;
        if (before != nullptr) longest = std::max(longest, l.taken_ns - before->taken_ns);
        before = &l;
    }
    return longest;
}

std::int64_t LedgerReport::latency_ns(double q, std::int64_t from_ns, std::int64_t to_ns, std::size_t least) const {
    const auto intended_before = [](const Latency& l, std::int64_t t) { return l.intended_ns < t; };
    const auto begin = std::lower_bound(latencies.begin(), latencies.end(), from_ns, intended_before);
    const auto end = std::lower_bound(begin, latencies.end(), to_ns, intended_before);
    std::vector<std::int64_t> taken;
    for (auto at = begin; at != end; ++at) taken.push_back(at->taken_ns);
    if (taken.empty() || taken.size() < least) return -1;
    const auto rank = static_cast<std::size_t>(q * static_cast<double>(taken.size() - 1) + 0.5);
    std::nth_element(taken.begin(), taken.begin() + static_cast<std::ptrdiff_t>(rank), taken.end());
    return taken[rank];
}

LedgerReport check_ledger(const Published& published, const std::vector<ProcessHandlings>& processes,
                          const std::vector<Disturbance>& all, const LedgerOptions& options) {
    LedgerReport report;
    const Disturbances disturbances(all, options);
    std::map<std::string, std::vector<Entry>> entries;
    for (const auto& [partition, messages] : published) entries[partition];
    for (const ProcessHandlings& process : processes) {
        for (const Handling& handling : process.handlings) entries[handling.partition].push_back({&handling, &process.label});
    }
    static const std::vector<PublishedMessage> nothing;
    for (auto& [partition, list] : entries) {
        const auto messages = published.find(partition);
        Judge(partition, messages == published.end() ? nothing : messages->second, disturbances, options, report)
            .run(std::move(list));
    }
    std::sort(report.latencies.begin(), report.latencies.end(),
              [](const LedgerReport::Latency& a, const LedgerReport::Latency& b) { return a.intended_ns < b.intended_ns; });
    return report;
}

}  // namespace parti::test
