// OperatorTest: a WorkerTest with an operator at hand.
#pragma once

#include "worker_fixture.h"

namespace parti::test {

class OperatorTest : public WorkerTest {
protected:
    Control control(const Context& context, Duration timeout = Seconds(10)) const;
    GroupStatus status(const Control& control) const;
    static const WorkerStatus* find(const GroupStatus& status, WorkerNumber number);
    static bool owns(const std::vector<Worker*>& workers, const std::vector<std::size_t>& counts);
    // So many heartbeats go by: long enough for what must not happen to have happened. False: they did not come.
    static bool heartbeats_pass(const Worker& worker, std::uint64_t count);
    Worker started(const Context& context, const std::shared_ptr<Source>& source, const Config& config, Callbacks callbacks = {});
};

// Every token of these partitions is still the one it was.
bool all_valid(const std::vector<Ownership>& tokens);

}  // namespace parti::test
