// SimWorld::Impl: what sim_world.cpp (the fleet and its two phases) and sim_faults.cpp (what befalls it) share.
//
// Threads   One.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "testutil/sim_shell.h"

namespace parti::testutil {

struct SimWorld::Impl {
    explicit Impl(const SimOptions& options);

    // One process's place in the fleet, whoever lives there now.
    struct Place {
        std::uint32_t lives = 0;
        std::vector<std::uint32_t> slots;
        std::unique_ptr<SimProcess> process;
    };

    SimReport run();
    void build();
    void set_partitions(std::uint32_t count);
    void start(std::uint32_t place);
    void add_worker(Place& place, std::uint32_t slot);
    void worker_stopped(std::uint32_t place, std::uint32_t slot);
    void crash(std::uint32_t place, Nanos away);

    void chaos();
    void inflict(Fault fault, std::uint32_t place);
    bool inflict_on_process(Fault fault, std::uint32_t place, Nanos duration);
    bool inflict_on_store(Fault fault, Nanos duration);
    bool inflict_on_keys(Fault fault, Nanos duration);
    void make_deaf(std::uint32_t place, Nanos duration);
    bool someone_leaves(SimProcess& process);
    void change_partitions();
    bool share_instance(std::uint32_t place);
    void cut_off(std::uint32_t place, Nanos duration);
    bool server_down(Nanos duration);
    void lose_tail(Fault fault, bool leases, bool assignments);
    bool wipe(bool leases, bool assignments);
    bool delete_bucket(Nanos duration);
    void lost(Bucket bucket, Revision kept);
    Nanos time_to_notice() const;
    void operator_writes(const std::string& bucket, const std::string& key, std::shared_ptr<const std::string> bytes);
    bool inflict_as_operator(Fault fault, Nanos duration);
    bool replay_record();
    ControlRecord control() const;
    void write_control(const ControlRecord& record);
    void drain_someone(Nanos duration);
    void remember(const std::string& key, const SimMessage& message);
    void remove_junk();
    void remove_all_junk();
    void create_buckets();
    std::string bucket_name(Bucket bucket) const;
    std::uint32_t pick_place();
    Nanos pick_duration();
    void heal();

    std::string unconverged() const;  // why not; empty: converged
    void poll();
    void finish();
    void sabotage();

    SimWorker* leader() const;
    std::size_t population() const;

    SimShared shared;
    SimScheduler& scheduler;
    std::vector<Place> places;
    std::uint32_t next_slot = 0;
    std::vector<std::string> instances;       // by slot
    std::map<std::string, std::string> torn;  // assignment records that lost their chunks with the store's memory, by key
    struct Junk {
        Revision revision = 0;
        std::string bytes;
    };
    std::map<std::pair<std::string, std::string>, Junk> junk;                 // written by an operator, by bucket and key
    std::map<Bucket, std::uint64_t> identities;                               // of the streams, as last written to
    std::map<std::string, std::shared_ptr<const std::string>> older_records;  // of assignments, by key
    bool operator_at_work = false;
    std::set<Bucket> lost_while_down;        // it can be noticed when the server is up again
    std::map<Bucket, std::uint64_t> losses;  // so far
    bool done = false;
    Nanos healed_at = 0;
    Nanos converged_at = 0;
    std::uint64_t grants_at_convergence = 0;
    std::map<std::string, std::shared_ptr<const std::string>> old_records;
};

}  // namespace parti::testutil
