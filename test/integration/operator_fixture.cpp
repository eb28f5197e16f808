#include "operator_fixture.h"

#include <algorithm>

namespace parti::test {

Control OperatorTest::control(const Context& context, Duration timeout) const {
    auto opened = Control::open(context, "g", timeout);
    if (!opened) throw std::runtime_error(opened.error().message());
    return std::move(*opened);
}

GroupStatus OperatorTest::status(const Control& control) const {
    auto status = control.status();
    EXPECT_TRUE(status) << status.error().message();
    return status.value_or(GroupStatus{});
}

const WorkerStatus* OperatorTest::find(const GroupStatus& status, WorkerNumber number) {
    const auto it = std::find_if(status.workers.begin(), status.workers.end(), [&](const auto& w) { return w.number == number; });
    return it == status.workers.end() ? nullptr : &*it;
}

bool OperatorTest::owns(const std::vector<Worker*>& workers, const std::vector<std::size_t>& counts) {
    std::vector<std::size_t> found;
    for (const Worker* worker : workers) found.push_back(worker->assignment().size());
    return found == counts;
}

bool OperatorTest::heartbeats_pass(const Worker& worker, std::uint64_t count) {
    const std::uint64_t before = worker.stats().renewals;
    return eventually([&] { return worker.stats().renewals >= before + count; });
}

Worker OperatorTest::started(const Context& context, const std::shared_ptr<Source>& source, const Config& config,
                             Callbacks callbacks) {
    Worker out = worker(context, source, config, std::move(callbacks));
    out.start();
    return out;
}

bool all_valid(const std::vector<Ownership>& tokens) {
    return std::all_of(tokens.begin(), tokens.end(), [](const Ownership& token) { return token.valid(); });
}

}  // namespace parti::test
