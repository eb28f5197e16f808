#include "testutil/sim_trace.h"

#include "testutil/invariants.h"

#include <algorithm>

#include "wire/codec.h"

namespace parti::testutil {
namespace {

template <class... F>
struct Overload : F... {
    using F::operator()...;
};
template <class... F>
Overload(F...) -> Overload<F...>;

std::string num(std::uint64_t value) { return std::to_string(value); }
std::string short_of(const SessionId& id) { return id.empty() ? std::string("-") : parti::to_string(id).substr(0, 6); }
std::string ms(core::Instant at) { return num(static_cast<std::uint64_t>(at.time_since_epoch().count() / 1'000'000)) + "ms"; }
std::string list(const std::vector<Partition>& partitions) {
    std::string out = "[";
    for (const Partition& p : partitions) out += (out.size() > 1 ? " " : "") + p.id();
    return out + "]";
}
std::string list(const std::vector<std::uint64_t>& grants) {
    std::string out = "[";
    for (const std::uint64_t g : grants) out += (out.size() > 1 ? " " : "") + num(g);
    return out + "]";
}
std::string name_of(LeaseState state) {
    static constexpr const char* kNames[] = {"live", "draining", "released", "dead", "evicted"};
    return kNames[static_cast<std::size_t>(state)];
}
std::string place(Bucket bucket, const Key& key) { return (bucket == Bucket::lease ? "L/" : "A/") + wire::to_string(key); }
std::string token_of(const core::WriteToken& token) { return "#" + num(token.operation) + "." + num(token.attempt); }

}  // namespace

std::string describe(const RecordValue& value) {
    return std::visit(
        Overload{
            [](Absent) { return std::string("absent"); },
            [](const LeasePtr& r) {
                return "{" + name_of(r->state) + " inc " + num(r->incarnation.value) + " sess " + short_of(r->session) + " seq " +
                       num(r->id.sequence) + (r->id.writer == r->session ? "" : " by " + short_of(r->id.writer)) + " applied " +
                       text_of(r->applied) + " floor " + num(r->floor.value) + "}";
            },
            [](const HeadPtr& r) {
                std::string out = "{epoch " + num(r->epoch.value) + " v" + num(r->version) + " leader " +
                                  num(r->leader.number.value) + " inc " + num(r->leader.incarnation.value) + " sess " +
                                  short_of(r->leader.session) + " slots " + num(r->slots) + (r->resigned ? " resigned" : "") +
                                  " standbys";
                for (const WorkerNumber n : r->standbys) out += " " + num(n.value);
                return out + "}";
            },
            [](const AssignmentPtr& r) {
                return "{" + text_of(r->fence) + " for inc " + num(r->incarnation.value) + " sess " + short_of(r->session) +
                       " owns " + list(r->partitions) + " revoking " + list(r->revoking) + " by " + short_of(r->id.writer) + "}";
            },
            [](const ControlPtr& r) { return std::string("{control") + (r->frozen ? " frozen}" : "}"); },
            [](const UnreadablePtr& r) { return "{unreadable: " + r->error.message() + "}"; },
        },
        value);
}

std::string describe(const core::Event& event) {
    return std::visit(Overload{
                          [](const core::Start&) { return std::string("Start"); },
                          [](const core::Stop&) { return std::string("Stop"); },
                          [](const core::Tick&) { return std::string("Tick"); },
                          [](const core::EntrySeen& e) {
                              return "EntrySeen " + place(e.entry.bucket, e.entry.key) + " rev " + num(e.entry.revision) + " " +
                                     describe(e.entry.value) + " first " + ms(e.first_seen);
                          },
                          [](const core::SnapshotDone& e) { return "SnapshotDone " + num(e.interest); },
                          [](const core::HistoryLost& e) { return "HistoryLost " + e.detail; },
                          [](const core::BucketMissing& e) {
                              return std::string("BucketMissing ") + (e.bucket == Bucket::lease ? "lease" : "assignment") +
                                     (e.missing ? "" : " no more");
                          },
                          [](const core::WriteAnswered& e) {
                              static constexpr const char* kNames[] = {"done", "wrong_revision", "no_information"};
                              return "WriteAnswered " + token_of(e.token) + " " + kNames[static_cast<std::size_t>(e.result)] +
                                     " rev " + num(e.revision) + (e.detail.empty() ? "" : " (" + e.detail + ")");
                          },
                          [](const core::FetchAnswered& e) {
                              return "FetchAnswered " + token_of(e.token) +
                                     (e.entry ? " " + place(e.entry->bucket, e.entry->key) + " rev " + num(e.entry->revision) +
                                                    " " + describe(e.entry->value)
                                              : std::string(" nothing"));
                          },
                          [](const core::PartitionsChanged& e) { return "PartitionsChanged " + num(e.partitions->size()); },
                          [](const core::ReleaseDone& e) { return "ReleaseDone " + list(e.grants); },
                          [](const core::LinkChanged& e) { return std::string("LinkChanged ") + (e.up ? "up" : "down"); },
                          [](const core::SessionLapsed& e) { return "SessionLapsed " + short_of(e.session); },
                      },
                      event);
}

std::string describe(const core::Effect& effect) {
    return std::visit(Overload{
                          [](const core::Put& e) {
                              return "Put " + token_of(e.token) + " " + place(e.bucket, e.key) + " expecting " + num(e.expected) +
                                     " " + describe(e.record);
                          },
                          [](const core::Fetch& e) { return "Fetch " + token_of(e.token) + " " + place(e.bucket, e.key); },
                          [](const core::Distrust& e) { return "Distrust " + e.detail; },
                          [](const core::CreateBucket& e) {
                              return std::string("CreateBucket ") + (e.bucket == Bucket::lease ? "lease" : "assignment");
                          },
                          [](const core::SetInterest& e) {
                              return "SetInterest " + num(e.interest.id) + (e.interest.all_leases ? " all-leases" : "") +
                                     (e.interest.all_assignments ? " all-assignments" : "") +
                                     (e.interest.own_assignment ? " own " + num(e.interest.own_assignment->value) : "") +
                                     (e.interest.leader_lease ? " leader " + num(e.interest.leader_lease->value) : "");
                          },
                          [](const core::SessionStarted& e) {
                              return "SessionStarted number " + num(e.number.value) + " inc " + num(e.incarnation.value) +
                                     " sess " + short_of(e.session) + " until " + ms(e.deadline);
                          },
                          [](const core::LeaseExtended& e) { return "LeaseExtended until " + ms(e.deadline); },
                          [](const core::SessionEnded& e) { return "SessionEnded " + e.reason; },
                          [](const core::Granted& e) {
                              std::string out = "Granted";
                              for (const core::Grant& g : e.grants)
                                  out += " " + num(g.grant) + "=" + g.partition.id() + text_of(g.fence);
                              return out;
                          },
                          [](const core::Revoked& e) { return "Revoked " + list(e.grants); },
                          [](const core::DrainTimedOut& e) { return "DrainTimedOut " + list(e.grants); },
                          [](const core::StateChanged& e) {
                              return "StateChanged " + std::string(parti::to_string(e.from)) + " -> " +
                                     std::string(parti::to_string(e.to));
                          },
                          [](const core::LeadershipChanged& e) {
                              return std::string("LeadershipChanged ") + (e.leader ? "leads" : "does not lead") + " epoch " +
                                     num(e.epoch.value);
                          },
                          [](const core::PhaseChanged& e) { return "PhaseChanged " + std::string(parti::to_string(e.phase)); },
                          [](const core::RefreshPartitions&) { return std::string("RefreshPartitions"); },
                          [](const core::AlertChanged& e) { return "AlertChanged " + std::string(parti::to_string(e.level)); },
                          [](const core::Note& e) {
                              return "Note " + std::string(parti::to_string(e.level)) + ": " + e.text +
                                     (e.error ? " [" + e.error->message() + "]" : "");
                          },
                          [](const core::Stopped&) { return std::string("Stopped"); },
                      },
                      effect);
}

}  // namespace parti::testutil
