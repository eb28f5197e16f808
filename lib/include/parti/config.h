// Config: everything that can be set for a worker of a group, with units, defaults and rules.
//
// Model     A plain struct; validate() checks every rule and names the key, the value and the rule that is broken. Worker::make
//           calls it. from_json reads the same keys ("ttl": "6s"); unknown keys are errors.
// Units     Durations are std::chrono, at most 24 h; in JSON they are strings with a unit: "300ms", "6s", "2m", "1h".
// Source    Rules: docs/PROTOCOL.md, "Timing".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <parti/types.h>

namespace parti {

enum class Storage : std::uint8_t { file, memory };
enum class CreateBuckets : std::uint8_t {
    always,    // at start, and by the leader when a bucket is deleted
    at_start,  // at start; a bucket that is deleted later must be made by somebody else
    never,     // somebody else makes them; without them a worker does not start (not_found)
};
enum class InstanceTakeover : std::uint8_t {
    wait,   // a number that carries this instance's name is claimed when it is released, dead or silent for ttl + margin
    trust,  // it is claimed at once: whoever holds it is taken for gone. Gives up P-1 and P-3 while the old one still runs
};
enum class ColdStart : std::uint8_t {
    grant_now,  // partitions without an owner are granted at once to whoever is there
    wait,       // nothing is granted before expected_workers are there or cold_start_window is over
};

// All at most 24 h, and above 0 but for these, which may be 0: drain_timeout, both windows, settle_pause,
// min_rebalance_interval, recovery_grace. Every lease says how long its holder may be silent, so heartbeat, ttl and margin may
// differ between workers (a rolling change); the rest is the leader's where it leads, and should be the same everywhere.
struct Timing {
    Duration heartbeat = std::chrono::seconds(2);          // a lease is renewed this often
    Duration ttl = std::chrono::seconds(6);                // without a renewal for ttl + margin this worker is suspected
    Duration margin = std::chrono::milliseconds(600);      // >= 10 % of ttl and >= 100 ms; covers clock rates off by 5 %
    Duration stop_budget = std::chrono::seconds(1);        // relinquishing starts this long before the lease's deadline;
                                                           // 2 * heartbeat + stop_budget <= ttl - margin
    Duration drain_timeout = std::chrono::seconds(10);     // of a revoke; any other callback may take so long, or 100 ms
    Duration shutdown_timeout = std::chrono::seconds(15);  // Worker::stop; >= drain_timeout + 2 s
    Duration grant_timeout = std::chrono::seconds(10);     // a grant or revoke not acknowledged for so long evicts the session
    Duration leader_publish_timeout = std::chrono::seconds(6);   // a leader that cannot write for so long resigns
    Duration cold_start_window = std::chrono::seconds(30);       // upper limit of the settle window of a new group
    Duration planned_scale_window = std::chrono::seconds(10);    // upper limit later
    Duration settle_pause = std::chrono::milliseconds(200);      // a window ends early when nobody joined for so long
    Duration min_rebalance_interval = std::chrono::seconds(10);  // between two plans that move owned partitions; 0 = no limit
    Duration operation_timeout = std::chrono::seconds(10);       // set-up requests (buckets); never used for leases
    Duration startup_timeout =
        std::chrono::seconds(30);  // start(): buckets ready and the source's first set; claiming has no limit
    Duration recovery_grace = std::chrono::seconds(15);  // delays death writes after a mass failure
    // A worker without a reliable lease for so long raises this alert level. The four ascend strictly.
    Duration alert_info = std::chrono::seconds(30);
    Duration alert_warning = std::chrono::minutes(2);
    Duration alert_error = std::chrono::minutes(5);
    Duration alert_critical = std::chrono::minutes(10);
};

struct Config {
    std::string group{};                   // 1..64 of [A-Za-z0-9_-]
    std::string worker_prefix = "worker";  // 1..64 of [A-Za-z0-9_-]; the worker's id is "<prefix>-<number>"
    std::uint32_t number_min = 0;
    std::uint32_t number_max = 99;  // number_min <= number_max <= kWorkerNumberMax
    std::string instance{};         // a stable name of this worker (pod name), or empty; [A-Za-z0-9_.-], at most 128
    // trust needs an instance name. A worker whose number is taken by its own instance name stops (Errc::instance_replaced)
    // instead of claiming anew.
    InstanceTakeover instance_takeover = InstanceTakeover::wait;
    std::uint32_t capacity = 1;  // relative share of the load; 1..1'000'000
    std::string zone{};          // [A-Za-z0-9_.-], at most 64; empty = none
    Policy policy = Policy::relinquish;
    ColdStart cold_start = ColdStart::grant_now;
    // a settle window ends as soon as so many are there; 0 = unknown; at most the numbers there are
    std::uint32_t expected_workers = 0;
    // (0, 1]: more than this share (and at least 4) silent within one TTL is a mass failure
    double restart_detection_ratio = 0.5;
    // Policy, storage and replicas belong to the group: another policy is reported (on_error), another storage or number of
    // replicas ends the worker (bucket_mismatch; in one process invalid_config).
    Storage storage = Storage::file;
    std::uint32_t replicas = 1;  // 1, 3 or 5; above 1: nats-server >= 2.11 (from 2.9.21 on with a warning)
    CreateBuckets create_buckets = CreateBuckets::at_start;
    Timing timing{};

    // Errors: invalid_config; the detail names every broken rule, the first one first.
    Result<void> validate() const;
    // {"group":"orders","timing":{"preset":"aggressive","drain_timeout":"5s"}}: a preset first, then what differs. Errors:
    // invalid_config (unknown key, wrong type, broken rule), naming the key. The result has been validated.
    static Result<Config> from_json(std::string_view json);
    // What is allowed and rarely meant: one sentence each, naming the keys and values. Logged by Worker::start.
    std::vector<std::string> warnings() const;
    std::string to_json() const;
};

// Presets of the timing that decides how fast a lost worker is noticed. balanced = the defaults; conservative suits links that
// stall for seconds; aggressive costs twice the renewals.
Timing conservative_timing();  // heartbeat 5 s, ttl 15 s: a crash is noticed after 16.5 s
Timing balanced_timing();      // heartbeat 2 s, ttl 6 s: after 6.6 s
Timing aggressive_timing();    // heartbeat 1 s, ttl 3 s: after 3.3 s

// The timing that tests with real processes use: heartbeat 300 ms, ttl 1 s, margin 200 ms. Not less: scheduling lateness of 63 ms
// was measured on a busy 2-core machine.
Timing fast_test_timing();

}  // namespace parti
