#include "status_page.h"

#include <malloc.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <utility>

#include "fleet.h"
#include "memory.h"
#include "say.h"
#include "testutil/http_server.h"

namespace parti::host {
namespace {

std::string threads_by_name() {
    std::map<std::string, std::uint64_t> count;
    std::error_code error;
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", error)) {
        std::ifstream comm(task.path() / "comm");
        std::string name;
        if (std::getline(comm, name)) ++count[name];
    }
    std::string out;
    for (const auto& [name, n] : count) out += (out.empty() ? "" : ",") + host::json_quoted(name) + ":" + std::to_string(n);
    return out;
}

std::string memory_members() {
    const struct mallinfo2 m = ::mallinfo2();
    const auto anonymous = anonymous_bytes();
    return "\"anonymous_bytes\":" + (anonymous ? std::to_string(*anonymous) : "null") +
           ",\"live_bytes\":" + std::to_string(m.uordblks + m.hblkhd) + ",\"arena_bytes\":" + std::to_string(m.arena);
}

test::HttpReply reply_to(const std::string& path, const std::string& label, const Fleet& fleet) {
    constexpr const char* kJson = "application/json";
    if (path == "/health") {
        const bool stable = fleet.all_stable();
        return {stable ? 200U : 503U, kJson,
                std::string("{\"health\":") + host::json_quoted(stable ? "stable" : "not stable") + "}\n", false};
    }
    if (path != "/") return {404, "text/plain; charset=utf-8", "there is / and /health\n", false};
    return {200, kJson,
            "{\"pid\":" + std::to_string(::getpid()) + ",\"label\":" + host::json_quoted(label) +
                ",\"t_ns\":" + std::to_string(now_ns()) + "," + fleet.status_members() + ",\"memory\":{" + memory_members() +
                "},\"threads\":{" + threads_by_name() + "}}\n",
            false};
}

}  // namespace

Result<std::unique_ptr<StatusPage>> StatusPage::open(std::uint16_t port, std::string label, const Fleet& fleet) {
    auto server = test::HttpServer::start(
        port, [label = std::move(label), &fleet](const std::string& path) { return reply_to(path, label, fleet); }, "status");
    if (!server) return fail(Errc::invalid_argument, "--status: " + server.error());
    std::unique_ptr<StatusPage> page(new StatusPage);
    page->server_ = std::move(*server);
    return page;
}

StatusPage::~StatusPage() = default;

std::string StatusPage::url() const { return server_->url(); }

bool Fleet::all_stable() const {
    bool any = false;
    for (const Slot& s : slots_) {
        if (!s.running) continue;
        if (s.state != State::stable) return false;
        any = true;
    }
    return any;
}

std::string Fleet::status_members() const {
    const std::lock_guard lock(slots_mutex_);
    std::uint64_t running = 0;
    const WorkerStats sum = sum_of_stats(running);
    std::map<std::string, std::uint64_t> states;
    for (const Slot& s : slots_) {
        if (s.running) ++states[std::string(to_string(s.state.load()))];
    }
    std::string list;
    for (const auto& [state, n] : states) list += (list.empty() ? "" : ",") + host::json_quoted(state) + ":" + std::to_string(n);
    const std::string health = running == 0 ? "stopped" : (all_stable() ? "stable" : "starting");
    const auto member = [](const char* name, std::uint64_t value) {
        return "\"" + std::string(name) + "\":" + std::to_string(value);
    };
    return "\"health\":" + host::json_quoted(health) + ",\"workers\":{" + member("all", slots_.size()) + "," +
           member("running", running) + "},\"states\":{" + list + "},\"counters\":{" + member("owned", sum.owned) + "," +
           member("draining", sum.draining) + "," + member("renewals", sum.renewals) + "," +
           member("renewal_retries", sum.renewal_retries) + "," + member("sessions_lost", sum.sessions_lost) + "," +
           member("leaderships", sum.leaderships) + "," + member("plans", sum.plans) + "," +
           member("moved_partitions", sum.moved_partitions) + "," + member("partitions_gained", sum.partitions_gained) + "," +
           member("partitions_lost", sum.partitions_lost) + "," + member("drain_timeouts", sum.drain_timeouts) + "," +
           member("malformed_records", sum.malformed_records) + "}";
}

}  // namespace parti::host
