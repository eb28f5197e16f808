// SourcesTest: a WorkerTest with a second connection that writes buckets and streams, and workers whose callbacks are recorded.
//
// Role      What a worker owns is what its on_assigned and on_revoked told, never a getter: a change has reached the worker then.
// Model     A Told is one listener: how often it was called, and the last set.
// Threads   The test's thread; what callbacks write is behind locks.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "raw_nats.h"
#include "worker_fixture.h"

namespace parti::test {

using Ids = std::set<std::string>;

class Told {
public:
    explicit Told(Source& source);
    std::size_t sets() const;
    std::size_t errors() const;
    std::map<std::string, std::int64_t> last() const;  // weights by id; of list() until told

private:
    struct State {
        mutable std::mutex mutex;
        std::size_t sets = 0;
        std::size_t errors = 0;
        std::map<std::string, std::int64_t> last;
    };
    std::shared_ptr<State> state_ = std::make_shared<State>();
    std::shared_ptr<void> handle_;
};

class SourcesTest : public WorkerTest {
protected:
    void SetUp() override;
    void TearDown() override;

    // A worker on the source, and what its callbacks say it owns.
    struct Owner {
        std::mutex mutex;
        Ids ids;
        std::optional<Worker> worker;
        Ids owned() {
            const std::lock_guard lock(mutex);
            return ids;
        }
    };
    std::unique_ptr<Owner> owner(const Context& context, const std::shared_ptr<Source>& source);
    // Everything in `wanted` is owned, by exactly one of them, and nothing else is.
    static bool own(const std::vector<Owner*>& owners, const Ids& wanted);
    bool told_error(Errc code, const std::string& part);
    std::vector<std::string> consumers(const std::string& stream);
    RawNats& raw() { return *raw_; }
    void stream(const std::string& name, const std::string& subjects, const nlohmann::json& more = nlohmann::json::object());

    std::optional<RawNats> raw_;
};

std::map<std::string, std::int64_t> weights(const PartitionSet& set);

}  // namespace parti::test
