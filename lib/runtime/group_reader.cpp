#include "runtime/group_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "runtime/boot_clock.h"
#include "runtime/group.h"
#include "wire/codec.h"

namespace parti::runtime {

namespace {

constexpr Duration kPauseFirst = std::chrono::milliseconds(20);
constexpr Duration kPauseMax = std::chrono::milliseconds(500);
constexpr Duration kAttemptMax = std::chrono::seconds(2);

// What one thread waits for and the io thread gives; whoever comes last frees it.
template <class T>
class Mailbox {
public:
    void give(T value) {
        {
            const std::lock_guard lock(mutex_);
            if (!value_) value_.emplace(std::move(value));
        }
        given_.notify_all();
    }
    std::optional<T> wait(Duration limit) {
        std::unique_lock lock(mutex_);
        given_.wait_for(lock, std::max(limit, Duration::zero()), [this] { return value_.has_value(); });
        return std::move(value_);
    }

private:
    std::mutex mutex_;
    std::condition_variable given_;
    std::optional<T> value_;
};

// Starts `begin(give)` on the io thread.
template <class T>
std::optional<T> ask_io(ContextImpl& context, Duration limit, const std::function<void(std::function<void(T)>)>& begin) {
    auto box = std::make_shared<Mailbox<T>>();
    context.poster()->post([box, begin] { begin([box](T value) { box->give(std::move(value)); }); });
    return box->wait(limit);
}

Entry decoded(const Key& key, const jetstream::RawEntry& raw) {
    Entry out{Bucket::assignment, key, raw.revision, Absent{}};
    if (raw.kind == jetstream::EntryKind::value) out.value = wire::decode(Bucket::assignment, key, raw.bytes);
    return out;
}

// Everything a hub delivers until its first complete snapshot. Lives and dies on the io thread.
struct Collector {
    std::shared_ptr<Group> group;  // of its own: it must not say what the group's buckets look like
    Hub::MemberId member = 0;
    GroupEntries entries;

    void take(const core::Event& event, const std::function<void(GroupEntries)>& give) {
        if (const auto* seen = std::get_if<core::EntrySeen>(&event)) {
            entries[{seen->entry.bucket, seen->entry.key}] = seen->entry;
        } else if (const auto* lost = std::get_if<core::HistoryLost>(&event)) {
            std::erase_if(entries, [&](const auto& item) { return item.first.first == lost->bucket; });
        } else if (std::holds_alternative<core::SnapshotDone>(event)) {
            give(entries);
        }
    }
};

}  // namespace

GroupReader::GroupReader(ContextImpl& context, std::string group, Duration timeout)
    : context_(context), group_(std::move(group)), timeout_(timeout), deadline_(boot_now() + timeout), pause_(kPauseFirst) {}

Duration GroupReader::left() const { return std::max<Duration>(deadline_ - boot_now(), Duration::zero()); }

bool GroupReader::over() const { return boot_now() >= deadline_; }

Duration GroupReader::attempt() const { return std::clamp<Duration>(left(), std::chrono::milliseconds(1), kAttemptMax); }

bool GroupReader::back_off() {
    if (left() <= pause_) return false;
    std::this_thread::sleep_for(pause_);
    pause_ = std::min(pause_ * 2, kPauseMax);
    return true;
}

Error GroupReader::timed_out(const Error& last) const {
    return {Errc::timeout, fmt::format("group '{}': no answer within {} ms; last: {}", group_,
                                       std::chrono::duration_cast<std::chrono::milliseconds>(timeout_).count(), last.message())};
}

template <class T>
Result<T> GroupReader::until_answered(const std::function<Result<T>()>& ask) {
    for (;;) {
        Result<T> answer = ask();
        if (answer || reaction_to(answer.error().code) != Reaction::retry) return answer;
        if (!back_off()) return tl::unexpected(timed_out(answer.error()));
    }
}

Result<void> GroupReader::exists(const std::string& bucket) {
    const auto answer = until_answered<std::string>([&]() -> Result<std::string> {
        const Duration limit = attempt();
        auto info = ask_io<Result<std::string>>(context_, left(), [&context = context_, bucket, limit](const auto& give) {
            context.client().api("STREAM.INFO.KV_" + bucket, {}, limit, give);
        });
        return info ? std::move(*info) : fail(Errc::timeout, "the io thread is busy");
    });
    if (answer) return {};
    if (answer.error().code != Errc::not_found) return tl::unexpected(answer.error());
    return fail(Errc::not_found,
                fmt::format("group '{}' does not exist: there is no bucket '{}' on this server and account", group_, bucket));
}

Result<void> GroupReader::exists() {
    if (auto ok = exists(assignment_bucket_name(group_)); !ok) return ok;
    return exists(lease_bucket_name(group_));
}

Result<Entry> GroupReader::control() {
    auto raw = until_answered<jetstream::RawEntry>([&]() -> Result<jetstream::RawEntry> {
        const Duration limit = attempt();
        auto answer = ask_io<Result<jetstream::RawEntry>>(
            context_, left(), [&context = context_, bucket = assignment_bucket_name(group_), limit](const auto& give) {
                context.client().get(bucket, wire::to_string(control_key()), limit, give);
            });
        return answer ? std::move(*answer) : fail(Errc::timeout, "the io thread is busy");
    });
    if (!raw) return tl::unexpected(raw.error());
    return decoded(control_key(), *raw);
}

jetstream::PutAnswer GroupReader::put_control(const ControlRecord& record, Revision expected) {
    const std::string bytes = wire::encode(RecordValue(std::make_shared<const ControlRecord>(record)));
    const Duration limit = attempt();
    auto answer = ask_io<jetstream::PutAnswer>(
        context_, left(),
        [&context = context_, bucket = assignment_bucket_name(group_), bytes, expected, limit](const auto& give) {
            context.client().put(bucket, wire::to_string(control_key()), bytes, expected, limit, give);
        });
    if (answer) return std::move(*answer);
    return {jetstream::PutResult::no_information, 0, {Errc::timeout, "no answer to the write"}};
}

Result<GroupEntries> GroupReader::everything() {
    if (auto ok = exists(); !ok) return tl::unexpected(ok.error());
    auto collector = std::make_shared<Collector>();
    auto entries = ask_io<GroupEntries>(context_, left(), [&context = context_, group = group_, collector](const auto& give) {
        Config config;
        config.group = group;
        collector->group = std::make_shared<Group>(context, config);
        Hub& hub = collector->group->hub();
        collector->member = hub.join([weak = std::weak_ptr<Collector>(collector), give](const core::Event& event) {
            if (const auto self = weak.lock()) self->take(event, give);
        });
        core::Interest interest;
        interest.id = 1;
        interest.all_leases = true;
        interest.all_assignments = true;
        hub.set_interest(collector->member, interest);
    });
    context_.poster()->post([collector] {
        if (collector->group) collector->group->hub().leave(collector->member);
        collector->group.reset();
    });
    if (!entries) return tl::unexpected(timed_out({Errc::not_ready, "the group's records were not read completely"}));
    return std::move(*entries);
}

}  // namespace parti::runtime
