#include <parti/metrics.h>

#include <fmt/format.h>

#include <array>
#include <functional>
#include <iterator>
#include <vector>

namespace parti {

namespace {

constexpr std::array kStates{State::init,   State::claiming_id, State::waiting_assignment,
                             State::stable, State::degraded,    State::draining,
                             State::fenced, State::stopped};
constexpr std::array kPhases{LeaderPhase::idle,        LeaderPhase::sealing,   LeaderPhase::settling,
                             LeaderPhase::rebalancing, LeaderPhase::emergency, LeaderPhase::frozen};
constexpr std::array kReasons{PlanReason::orphans, PlanReason::membership, PlanReason::partitions, PlanReason::request,
                              PlanReason::step};

struct Sample {
    std::string labels;  // group="g",slot="0"
    std::string id;
    State state = State::init;
    LeaderPhase phase = LeaderPhase::idle;
    bool leader = false;
    WorkerStats stats;
};

double seconds(Duration d) { return std::chrono::duration<double>(d).count(); }

class Text {
public:
    explicit Text(std::vector<Sample> samples) : samples_(std::move(samples)) {}

    void family(std::string_view name, std::string_view type, std::string_view help) {
        name_ = name;
        fmt::format_to(out(), "# TYPE {} {}\n", name, type);
        if (name.ends_with("_seconds")) fmt::format_to(out(), "# UNIT {} seconds\n", name);
        fmt::format_to(out(), "# HELP {} {}\n", name, help);
    }
    template <class Value>
    void line(const Sample& sample, std::string_view suffix, std::string_view more, Value value) {
        fmt::format_to(out(), "{}{}{{{}{}{}}} {}\n", name_, suffix, sample.labels, more.empty() ? "" : ",", more, value);
    }

    void counter(std::string_view name, std::string_view help, std::uint64_t WorkerStats::*member) {
        family(name, "counter", help);
        for (const Sample& s : samples_) line(s, "_total", "", s.stats.*member);
    }
    void time_counter(std::string_view name, std::string_view help, Duration WorkerStats::*member) {
        family(name, "counter", help);
        for (const Sample& s : samples_) line(s, "_total", "", seconds(s.stats.*member));
    }
    void summary(std::string_view name, std::string_view help, Duration WorkerStats::*sum, std::uint64_t WorkerStats::*count) {
        family(name, "summary", help);
        for (const Sample& s : samples_) {
            line(s, "_count", "", s.stats.*count);
            line(s, "_sum", "", seconds(s.stats.*sum));
        }
    }
    template <class Get>
    void gauge(std::string_view name, std::string_view help, Get get) {
        family(name, "gauge", help);
        for (const Sample& s : samples_) line(s, "", "", get(s));
    }
    template <class Get>
    void leader_gauge(std::string_view name, std::string_view help, Get get) {
        family(name, "gauge", help);
        for (const Sample& s : samples_) {
            if (s.leader) line(s, "", "", get(s));
        }
    }
    // One series per enumerator: 1 for the present one.
    template <class Values, class Get>
    void one_of(std::string_view name, std::string_view help, std::string_view label, const Values& values, Get get) {
        family(name, "gauge", help);
        for (const Sample& s : samples_) {
            for (const auto value : values)
                line(s, "", fmt::format("{}=\"{}\"", label, to_string(value)), get(s) == value ? 1 : 0);
        }
    }
    template <class Values, std::size_t N>
    void counters_by(std::string_view name, std::string_view help, std::string_view label, const Values& values,
                     std::array<std::uint64_t, N> WorkerStats::*member) {
        static_assert(std::tuple_size_v<Values> == N);
        family(name, "counter", help);
        for (const Sample& s : samples_) {
            for (const auto value : values) {
                line(s, "_total", fmt::format("{}=\"{}\"", label, to_string(value)),
                     (s.stats.*member)[static_cast<std::size_t>(value)]);
            }
        }
    }
    const std::vector<Sample>& samples() const { return samples_; }
    std::string take() { return std::move(text_) + "# EOF\n"; }

private:
    std::back_insert_iterator<std::string> out() { return std::back_inserter(text_); }

    std::vector<Sample> samples_;
    std::string text_;
    std::string_view name_;
};

void worker_families(Text& text) {
    text.family("parti_worker", "info", "Which worker id holds this slot now; empty: none.");
    for (const Sample& s : text.samples()) text.line(s, "_info", fmt::format("worker=\"{}\"", s.id), 1);
    text.one_of("parti_state", "The worker's state.", "state", kStates, [](const Sample& s) { return s.state; });
    text.counters_by("parti_state_entries", "How often each state was entered.", "state", kStates, &WorkerStats::states_entered);
    text.gauge("parti_alert_level",
               "0 none, 1 info, 2 warning, 3 error, 4 critical: for how long the lease could not be relied on.",
               [](const Sample& s) { return static_cast<int>(s.stats.alert); });
    text.counter("parti_alerts_raised", "Alert levels reached.", &WorkerStats::alerts_raised);
    text.time_counter("parti_unreliable_seconds", "Time without a lease to rely on, episodes that are over.",
                      &WorkerStats::unreliable_time);
    text.gauge("parti_partitions_owned", "Partitions owned.", [](const Sample& s) { return s.stats.owned; });
    text.gauge("parti_partitions_draining", "Partitions revoked and not released yet.",
               [](const Sample& s) { return s.stats.draining; });
    text.counter("parti_partitions_gained", "Partitions granted to this worker.", &WorkerStats::partitions_gained);
    text.counter("parti_partitions_lost", "Partitions revoked from this worker.", &WorkerStats::partitions_lost);
    text.counter("parti_drain_timeouts", "Partitions taken away because a revoke callback took too long.",
                 &WorkerStats::drain_timeouts);
    text.counter("parti_claims", "Attempts to claim a number.", &WorkerStats::claims_attempted);
    text.counter("parti_sessions_lost", "Sessions that ended against the worker's will.", &WorkerStats::sessions_lost);
    text.counter("parti_renewal_retries", "Attempts of heartbeats beyond the first.", &WorkerStats::renewal_retries);
    text.summary("parti_renewal_seconds", "Confirmed heartbeats: first attempt to confirmation.", &WorkerStats::renewal_time,
                 &WorkerStats::renewals);
    text.gauge("parti_renewal_max_seconds", "The slowest confirmed heartbeat.",
               [](const Sample& s) { return seconds(s.stats.renewal_time_max); });
    text.family("parti_renewal_age_seconds", "gauge", "Since the last confirmed heartbeat was sent; absent without a session.");
    for (const Sample& s : text.samples()) {
        if (s.stats.since_renewal) text.line(s, "", "", seconds(*s.stats.since_renewal));
    }
    text.counter("parti_malformed_records", "Records that could not be read.", &WorkerStats::malformed_records);
}

void leader_families(Text& text) {
    text.gauge("parti_leader", "1: this worker leads.", [](const Sample& s) { return s.leader ? 1 : 0; });
    text.one_of("parti_leader_phase", "The leader's phase; idle on workers that do not lead.", "phase", kPhases,
                [](const Sample& s) { return s.phase; });
    text.counter("parti_leaderships", "Leaderships begun.", &WorkerStats::leaderships);
    text.counter("parti_leaderships_lost", "Leaderships ended.", &WorkerStats::leaderships_lost);
    text.counters_by("parti_plans", "Plans made as leader.", "reason", kReasons, &WorkerStats::plans_by);
    text.counter("parti_plans_failed", "Plans that the strategy failed to give.", &WorkerStats::plans_failed);
    text.summary("parti_rebalance_seconds", "As leader: from the first change until everything was owned and acknowledged.",
                 &WorkerStats::rebalance_time, &WorkerStats::rebalances);
    text.gauge("parti_rebalance_last_seconds", "How long the last of them took.",
               [](const Sample& s) { return seconds(s.stats.rebalance_time_last); });
    text.counter("parti_partitions_moved", "As leader: partitions revoked from a living worker.", &WorkerStats::moved_partitions);
    text.counter("parti_records_written", "As leader: assignment records begun to be written.", &WorkerStats::records_written);
    text.summary("parti_publish_seconds", "As leader: confirmed records, first attempt to confirmation.",
                 &WorkerStats::publish_time, &WorkerStats::records_confirmed);
    text.counter("parti_workers_joined", "As leader: workers that came.", &WorkerStats::workers_joined);
    text.counter("parti_workers_lost", "As leader: workers that left, died or are drained.", &WorkerStats::workers_lost);
    text.counter("parti_deaths_declared", "Silent workers this one declared dead.", &WorkerStats::deaths_declared);
    text.counter("parti_evictions", "As leader: workers evicted because they did not acknowledge.", &WorkerStats::evictions);
    text.counter("parti_mass_failures", "As leader: times that most workers went silent together.", &WorkerStats::mass_failures);
    text.leader_gauge("parti_group_partitions", "Partitions of the group; from its leader only.",
                      [](const Sample& s) { return s.stats.partitions; });
    text.leader_gauge("parti_group_partitions_orphaned", "Partitions without an owner now; from the leader only.",
                      [](const Sample& s) { return s.stats.orphaned; });
    text.leader_gauge("parti_group_workers", "Workers that may own partitions; from the leader only.",
                      [](const Sample& s) { return s.stats.active_workers; });
}

}  // namespace

std::string metrics_text(std::span<const Worker* const> workers) {
    std::vector<Sample> samples;
    samples.reserve(workers.size());
    for (std::size_t i = 0; i < workers.size(); ++i) {
        const Worker& w = *workers[i];
        samples.push_back({fmt::format("group=\"{}\",slot=\"{}\"", w.group(), i), w.id(), w.state(), w.leader_phase(),
                           w.is_leader(), w.stats()});
    }
    Text text(std::move(samples));
    worker_families(text);
    leader_families(text);
    return text.take();
}

}  // namespace parti
