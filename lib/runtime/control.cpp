#include <parti/control.h>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "runtime/group_reader.h"

namespace parti {

namespace {

using runtime::GroupReader;

constexpr Duration kTimeoutMin = std::chrono::milliseconds(1);
constexpr Duration kTimeoutMax = std::chrono::hours(24);

Result<void> may_wait(const Context& context) {
    if (!context.impl()->on_io_thread()) return {};
    return fail(Errc::invalid_argument,
                "Control was called on the context's io thread (inside a LogSink), which would wait for itself; call it from another thread");
}

// The next number of a request. Above every earlier one, also when the record was replaced or deleted in between: a number is never
// higher than the revision of the write that brought it.
std::uint64_t next_request(std::uint64_t present, Revision revision) {
    return std::max(present, revision) + 1;
}

// What a change does to the record as it is now. False: nothing, it is as wanted already.
using Change = std::function<Result<bool>(ControlRecord& record, Revision revision)>;

enum class OnUnreadable : std::uint8_t { refuse, replace };

// Reads, changes, writes, until it is stored or seen to be as wanted. Whatever an answer that was lost did, reading back tells.
Result<void> change_control(GroupReader& reader, const Change& change, OnUnreadable on_unreadable = OnUnreadable::refuse) {
    bool unsure = false;  // an earlier write may still arrive
    Error last{Errc::timeout, "other operators kept changing the control record"};
    do {
        const auto entry = reader.control();
        if (!entry) return tl::unexpected(entry.error());
        ControlRecord record;
        if (const auto* present = std::get_if<ControlPtr>(&entry->value)) record = **present;
        if (const auto* bad = std::get_if<UnreadablePtr>(&entry->value)) {
            if (on_unreadable == OnUnreadable::refuse || (*bad)->future) {
                return fail((*bad)->error.code, (*bad)->error.detail + ((*bad)->future ? "; only that version can change it" : "; reset replaces it"));
            }
        }
        const auto changed = change(record, entry->revision);
        if (!changed) return tl::unexpected(changed.error());
        const bool unreadable = std::holds_alternative<UnreadablePtr>(entry->value);
        if (!*changed && !unreadable) return {};
        const jetstream::PutAnswer answer = reader.put_control(record, entry->revision);
        if (answer.result == jetstream::PutResult::done) return {};
        if (answer.result == jetstream::PutResult::wrong_revision) continue;  // somebody else's is there now
        if (reaction_to(answer.error.code) != Reaction::retry) return tl::unexpected(answer.error);
        unsure = true;
        last = answer.error;
        if (!reader.back_off()) break;
    } while (!reader.over());
    Error timeout = reader.timed_out(last);
    if (unsure) timeout.detail += "; the change may still take effect";
    return tl::unexpected(std::move(timeout));
}

// A counter that grew since the call began has been asked for by us or by another operator: either way after the call began.
Change ask_by(std::uint64_t ControlRecord::*counter) {
    return [counter, first = std::optional<std::uint64_t>()](ControlRecord& record, Revision revision) mutable -> Result<bool> {
        if (first && record.*counter > *first) return false;
        first = record.*counter;
        record.*counter = next_request(record.*counter, revision);
        return true;
    };
}

Change set_frozen(bool frozen) {
    return [frozen](ControlRecord& record, Revision) -> Result<bool> { return std::exchange(record.frozen, frozen) != frozen; };
}

using Edit = std::function<Result<std::vector<std::string>>(std::vector<std::string> list, const std::vector<std::string>& known,
                                                            const GroupStatus& status)>;

// The list is read before the group: a session in it that the group does not have any more has ended.
Result<void> change_drain(GroupReader& reader, const std::string& group, const Edit& edit) {
    const auto before = reader.control();
    if (!before) return tl::unexpected(before.error());
    std::vector<std::string> known;
    if (const auto* record = std::get_if<ControlPtr>(&before->value)) known = (*record)->drain;
    const auto entries = reader.everything();
    if (!entries) return tl::unexpected(entries.error());
    const GroupStatus status = runtime::group_status(group, *entries);
    bool edited = false;  // a later look finds our own write when its answer was lost
    return change_control(reader, [&](ControlRecord& record, Revision) -> Result<bool> {
        auto list = edit(record.drain, known, status);
        if (!list && edited && list.error().code == Errc::not_found) return false;
        if (!list) return tl::unexpected(list.error());
        edited = true;
        return std::exchange(record.drain, *list) != *list;
    });
}

Result<void> command(const Context& context, const std::string& group, Duration timeout, const Change& change) {
    if (auto ok = may_wait(context); !ok) return ok;
    GroupReader reader(*context.impl(), group, timeout);
    return change_control(reader, change);
}

}  // namespace

Control::Control(Context context, std::string group, Duration timeout)
    : context_(std::move(context)), group_(std::move(group)), timeout_(timeout) {}

Result<Control> Control::open(Context context, std::string group, Duration timeout) {
    if (auto ok = may_wait(context); !ok) return tl::unexpected(ok.error());
    Config config;
    config.group = group;
    if (auto ok = config.validate(); !ok) return fail(Errc::invalid_argument, ok.error().detail);
    if (timeout < kTimeoutMin || timeout > kTimeoutMax) {
        return fail(Errc::invalid_argument, fmt::format("timeout ({} ns) must be in 1 ms..24 h", timeout.count()));
    }
    GroupReader reader(*context.impl(), group, timeout);
    if (auto ok = reader.exists(); !ok) return tl::unexpected(ok.error());
    return Control(std::move(context), std::move(group), timeout);
}

Result<GroupStatus> Control::status() const {
    if (auto ok = may_wait(context_); !ok) return tl::unexpected(ok.error());
    GroupReader reader(*context_.impl(), group_, timeout_);
    const auto entries = reader.everything();
    if (!entries) return tl::unexpected(entries.error());
    return runtime::group_status(group_, *entries);
}

Result<void> Control::freeze() const {
    return command(context_, group_, timeout_, set_frozen(true));
}
Result<void> Control::unfreeze() const {
    return command(context_, group_, timeout_, set_frozen(false));
}
Result<void> Control::rebalance() const {
    return command(context_, group_, timeout_, ask_by(&ControlRecord::rebalance));
}
Result<void> Control::refresh() const {
    return command(context_, group_, timeout_, ask_by(&ControlRecord::refresh));
}

Result<void> Control::drain(std::string_view name, DrainScope scope) const {
    if (auto ok = may_wait(context_); !ok) return ok;
    GroupReader reader(*context_.impl(), group_, timeout_);
    return change_drain(reader, group_, [&](auto list, const auto& known, const GroupStatus& status) {
        return runtime::with_drained(std::move(list), known, status, name, scope);
    });
}

Result<void> Control::undrain(std::string_view name) const {
    if (auto ok = may_wait(context_); !ok) return ok;
    GroupReader reader(*context_.impl(), group_, timeout_);
    return change_drain(reader, group_, [&](auto list, const auto& known, const GroupStatus& status) {
        return runtime::without_drained(std::move(list), known, status, name);
    });
}

Result<void> Control::reset() const {
    if (auto ok = may_wait(context_); !ok) return ok;
    GroupReader reader(*context_.impl(), group_, timeout_);
    return change_control(reader, [](ControlRecord&, Revision) -> Result<bool> { return false; }, OnUnreadable::replace);
}

}  // namespace parti
