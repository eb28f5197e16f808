#include "render.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

namespace parti::ctl {

namespace {

using nlohmann::json;
using Row = std::vector<std::string>;

std::string text_of(Fence fence) {
    return fence == Fence() ? "-" : std::to_string(fence.epoch.value) + "." + std::to_string(fence.version);
}

std::string or_dash(const std::string& text) { return text.empty() ? "-" : text; }

std::string roles_of(const WorkerStatus& worker) {
    std::string out;
    const auto add = [&](bool is, const char* role) {
        if (is) out += (out.empty() ? "" : ",") + std::string(role);
    };
    add(worker.leader, "leader");
    add(worker.standby, "standby");
    add(worker.drained, "drained");
    return or_dash(out);
}

// Columns as wide as their widest cell.
std::string table(const std::vector<Row>& rows) {
    std::vector<std::size_t> width;
    for (const Row& row : rows) {
        width.resize(row.size());
        for (std::size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], row[i].size());
    }
    std::string out;
    for (const Row& row : rows) {
        for (std::size_t i = 0; i < row.size(); ++i) {
            out += row[i];
            if (i + 1 < row.size()) out.append(width[i] + 2 - row[i].size(), ' ');
        }
        out += '\n';
    }
    return out;
}

json fence_of(Fence fence) { return {fence.epoch.value, fence.version}; }

}  // namespace

std::string as_text(const GroupStatus& s) {
    std::string drain;
    for (const std::string& name : s.drain) drain += (drain.empty() ? "" : ", ") + name;
    std::string out = "group " + s.group + ": epoch " + std::to_string(s.epoch.value) + ", " +
                      (s.leader ? "leader worker " + std::to_string(s.leader->value) : "no leader") + ", " +
                      std::string(to_string(s.phase)) + ", policy " + std::string(to_string(s.policy)) +
                      (s.frozen ? ", frozen" : "") + (s.rebalance_pending ? ", rebalance pending" : "") + "\n";
    out += "partitions " + std::to_string(s.partition_count) + ", without owner " +
           (s.without_owner ? std::to_string(*s.without_owner) : "unknown") + "; drain list: " + or_dash(drain) + "\n";
    std::vector<Row> rows = {{"worker", "lease", "owned", "revoking", "published", "applied", "inc", "capacity", "zone",
                              "instance", "session", "roles"}};
    for (const WorkerStatus& w : s.workers) {
        rows.push_back({std::to_string(w.number.value), std::string(to_string(w.lease)), std::to_string(w.owned),
                        std::to_string(w.revoking), text_of(w.published),
                        text_of(w.applied) + (w.acknowledged || w.published == Fence() ? "" : " (late)"),
                        std::to_string(w.incarnation.value), std::to_string(w.capacity), or_dash(w.zone), or_dash(w.instance),
                        to_string(w.session), roles_of(w)});
    }
    out += table(rows);
    for (const UnreadableKey& key : s.unreadable)
        out += "unreadable: " + key.bucket + " " + key.key + ": " + key.error.message() + "\n";
    return out;
}

std::string as_json(const GroupStatus& s) {
    json workers = json::array();
    for (const WorkerStatus& w : s.workers) {
        workers.push_back({{"number", w.number.value},
                           {"incarnation", w.incarnation.value},
                           {"session", to_string(w.session)},
                           {"lease", to_string(w.lease)},
                           {"instance", w.instance},
                           {"zone", w.zone},
                           {"capacity", w.capacity},
                           {"speaks", w.speaks},
                           {"owned", w.owned},
                           {"revoking", w.revoking},
                           {"published", fence_of(w.published)},
                           {"applied", fence_of(w.applied)},
                           {"acknowledged", w.acknowledged},
                           {"leader", w.leader},
                           {"standby", w.standby},
                           {"drained", w.drained}});
    }
    json unreadable = json::array();
    for (const UnreadableKey& key : s.unreadable) {
        unreadable.push_back({{"bucket", key.bucket}, {"key", key.key}, {"error", key.error.message()}});
    }
    const json out = {{"group", s.group},
                      {"epoch", s.epoch.value},
                      {"leader", s.leader ? json(s.leader->value) : json()},
                      {"record_major", s.record_major},
                      {"phase", to_string(s.phase)},
                      {"policy", to_string(s.policy)},
                      {"frozen", s.frozen},
                      {"drain", s.drain},
                      {"rebalance_pending", s.rebalance_pending},
                      {"refreshes", s.refreshes},
                      {"partition_count", s.partition_count},
                      {"without_owner", s.without_owner ? json(*s.without_owner) : json()},
                      {"workers", workers},
                      {"unreadable", unreadable}};
    return out.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
}

}  // namespace parti::ctl
