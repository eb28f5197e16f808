// View: what this core knows of the two buckets.
//
// Model     Per key the last entry seen and when this process first saw that revision. Fed by the watch and by fetches; per key
//           the revision never goes back, except that a vanished key is revision 0. Keys outside the present interest are
//           forgotten.
// Cost      One map node per key of interest.
// Source   .
#pragma once

#include <map>
#include <optional>

#include "core/io.h"

namespace parti::core {

template <class Record>
struct Seen {
    Revision revision = 0;  // 0: the key is not there
    Instant first_seen{};
    std::shared_ptr<const Record> record;  // null: absent, a marker or unreadable
    UnreadablePtr unreadable;
};
using SeenLease = Seen<LeaseRecord>;
using SeenAssignment = Seen<AssignmentRecord>;
using SeenHead = Seen<HeadRecord>;
using SeenControl = Seen<ControlRecord>;

class View {
public:
    // True when the entry is news. An unreadable value is news too.
    bool learn(const Entry& entry, Instant first_seen);
    // A write found the key at `revision`: what is known of it below that is out of date.
    void outdated(Bucket bucket, const Key& key, Revision revision);

    const SeenLease* lease(WorkerNumber number) const;
    const SeenAssignment* assignment(WorkerNumber number) const;
    const SeenHead& head() const { return head_; }
    const HeadRecord* head_record() const { return head_.record.get(); }
    // What operators ask for: nothing, when there is no record. An unreadable one changes nothing.
    const ControlRecord& control() const;
    // The newest record major that every living worker reads; `own`: what this one does.
    std::uint32_t common_major(std::uint32_t own) const;
    // False while something newer than what is known is known to exist.
    bool current(Bucket bucket, const Key& key) const;

    const std::map<WorkerNumber, SeenLease>& leases() const { return leases_; }
    const std::map<WorkerNumber, SeenAssignment>& assignments() const { return assignments_; }

    std::size_t marks() const { return outdated_.size(); }
    const Interest& interest() const { return interest_; }
    void set_interest(const Interest& interest);  // forgets what is no longer wanted
    void snapshot_done(std::uint64_t interest, Instant now);
    bool complete() const { return complete_; }
    // Everything of both buckets is known.
    bool wide() const { return complete_ && interest_.all_leases && interest_.all_assignments; }
    Instant complete_since() const { return complete_since_; }

    // Every lease is as if it had been seen for the first time now.
    void count_silence_anew(Instant now);
    void forget(Bucket bucket);
    // Highest epoch in any record known, including leases' floors.
    Epoch highest_epoch() const;
    std::uint64_t longest_silence_ms() const { return longest_silence_ms_; }  // that any lease ever seen here allowed

private:
    bool wanted(const Entry& entry) const;

    std::map<WorkerNumber, SeenLease> leases_;
    std::map<WorkerNumber, SeenAssignment> assignments_;
    SeenHead head_;
    SeenControl control_;
    std::map<std::pair<Bucket, Key>, Revision> outdated_;
    Interest interest_;
    bool complete_ = false;
    Instant complete_since_{};
    std::uint64_t longest_silence_ms_ = 0;
};

}  // namespace parti::core
