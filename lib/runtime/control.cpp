#include <parti/control.h>

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "runtime/control_change.h"
#include "runtime/group_reader.h"

namespace parti {

namespace {

using runtime::ask_by;
using runtime::Change;
using runtime::change_control;
using runtime::edit_drain;
using runtime::GroupReader;
using runtime::OnUnreadable;
using runtime::set_frozen;

constexpr Duration kTimeoutMin = std::chrono::milliseconds(1);
constexpr Duration kTimeoutMax = std::chrono::hours(24);

Result<void> may_wait(const Context& context) {
    if (!context.impl()->on_io_thread()) return {};
    return fail(Errc::invalid_argument,
                "Control was called on the context's io thread (inside a LogSink), which would wait for itself; call it from "
                "another thread");
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
    return change_control(reader,
                          edit_drain([&](std::vector<std::string> list) { return edit(std::move(list), known, status); }));
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

Result<void> Control::freeze() const { return command(context_, group_, timeout_, set_frozen(true)); }
Result<void> Control::unfreeze() const { return command(context_, group_, timeout_, set_frozen(false)); }
Result<void> Control::rebalance() const { return command(context_, group_, timeout_, ask_by(&ControlRecord::rebalance)); }
Result<void> Control::refresh() const { return command(context_, group_, timeout_, ask_by(&ControlRecord::refresh)); }

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
    return change_control(
        reader, [](ControlRecord&, Revision) -> Result<bool> { return false; }, OnUnreadable::replace);
}

}  // namespace parti
