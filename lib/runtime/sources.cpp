#include <parti/source.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "runtime/listeners.h"

namespace parti {

namespace {

using Snapshot = std::shared_ptr<const PartitionSet>;

bool same(const PartitionSet& a, const PartitionSet& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const Partition& x, const Partition& y) { return x == y && x.weight() == y.weight(); });
}

class StaticSourceImpl final : public StaticSource {
public:
    explicit StaticSourceImpl(Snapshot first) : present_(std::move(first)) {}

    Result<Snapshot> list() override {
        const std::lock_guard lock(mutex_);
        return present_;
    }

    std::shared_ptr<void> listen(Listener listener) override { return listeners_.add(std::move(listener)); }

    Result<void> update(std::vector<Partition> partitions) override {
        auto made = make_partition_set(std::move(partitions));
        if (!made) return tl::unexpected(made.error());
        const std::lock_guard one_at_a_time(update_mutex_);  // listeners hear changes in their order
        {
            const std::lock_guard lock(mutex_);
            present_ = *made;
        }
        return listeners_.tell(*made);
    }

private:
    std::mutex update_mutex_;
    std::mutex mutex_;
    Snapshot present_;
    runtime::Listeners listeners_;
};

class FunctionSource final : public Source {
public:
    explicit FunctionSource(std::function<Result<std::vector<Partition>>()> function) : function_(std::move(function)) {}

    // An unchanged answer gives the same snapshot again, so that the workers of a process share it.
    Result<Snapshot> list() override {
        if (!function_) return fail(Errc::invalid_argument, "the source's function is empty");
        Result<std::vector<Partition>> answer = fail(Errc::internal);
        try {
            answer = function_();
        } catch (const std::exception& error) {
            return fail(Errc::callback_failed, std::string("the source's function threw: ") + error.what());
        } catch (...) {
            return fail(Errc::callback_failed, "the source's function threw something that is not a std::exception");
        }
        if (!answer) return tl::unexpected(answer.error());
        auto made = make_partition_set(std::move(*answer));
        if (!made) return made;
        const std::lock_guard lock(mutex_);
        if (last_ == nullptr || !same(*last_, **made)) last_ = *made;
        return last_;
    }

    std::shared_ptr<void> listen(Listener) override { return nullptr; }

private:
    const std::function<Result<std::vector<Partition>>()> function_;
    std::mutex mutex_;
    Snapshot last_;
};

}  // namespace

Result<std::shared_ptr<StaticSource>> StaticSource::make(std::vector<Partition> partitions) {
    auto made = make_partition_set(std::move(partitions));
    if (!made) return tl::unexpected(made.error());
    return std::make_shared<StaticSourceImpl>(std::move(*made));
}

std::shared_ptr<Source> function_source(std::function<Result<std::vector<Partition>>()> function) {
    return std::make_shared<FunctionSource>(std::move(function));
}

}  // namespace parti
