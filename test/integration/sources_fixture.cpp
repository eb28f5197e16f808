#include "sources_fixture.h"

#include <algorithm>

namespace parti::test {

std::map<std::string, std::int64_t> weights(const PartitionSet& set) {
    std::map<std::string, std::int64_t> out;
    for (const Partition& p : set) out[p.id()] = p.weight();
    return out;
}

Told::Told(Source& source) {
    handle_ = source.listen([state = state_](const Result<std::shared_ptr<const PartitionSet>>& news) {
        const std::lock_guard lock(state->mutex);
        if (!news) {
            ++state->errors;
            return;
        }
        ++state->sets;
        state->last = weights(**news);
    });
    const auto now = source.list();
    const std::lock_guard lock(state_->mutex);
    if (now && state_->sets == 0) state_->last = weights(**now);
}

std::size_t Told::sets() const {
    const std::lock_guard lock(state_->mutex);
    return state_->sets;
}

std::size_t Told::errors() const {
    const std::lock_guard lock(state_->mutex);
    return state_->errors;
}

std::map<std::string, std::int64_t> Told::last() const {
    const std::lock_guard lock(state_->mutex);
    return state_->last;
}

void SourcesTest::SetUp() {
    WorkerTest::SetUp();
    auto raw = RawNats::connect(server_->url());
    ASSERT_TRUE(raw) << raw.error();
    raw_.emplace(std::move(*raw));
}

void SourcesTest::TearDown() {
    raw_.reset();
    WorkerTest::TearDown();
}

std::unique_ptr<SourcesTest::Owner> SourcesTest::owner(const Context& context, const std::shared_ptr<Source>& source) {
    auto owner = std::make_unique<Owner>();
    Callbacks callbacks;
    callbacks.on_assigned = [o = owner.get()](std::span<const Ownership> gained) {
        const std::lock_guard lock(o->mutex);
        for (const Ownership& p : gained) o->ids.insert(p.partition().id());
    };
    callbacks.on_revoked = [o = owner.get()](std::span<const Ownership> lost, const RevokeDone& done) {
        {
            const std::lock_guard lock(o->mutex);
            for (const Ownership& p : lost) o->ids.erase(p.partition().id());
        }
        done();
    };
    Config c = config();
    c.timing.min_rebalance_interval = Duration::zero();
    owner->worker.emplace(worker(context, source, c, std::move(callbacks)));
    owner->worker->start();
    return owner;
}

bool SourcesTest::own(const std::vector<Owner*>& owners, const Ids& wanted) {
    Ids all;
    std::size_t count = 0;
    for (Owner* owner : owners) {
        const Ids ids = owner->owned();
        count += ids.size();
        all.insert(ids.begin(), ids.end());
    }
    return count == wanted.size() && all == wanted;
}

bool SourcesTest::told_error(Errc code, const std::string& part) {
    for (const Error& error : notes_.errors()) {
        if (error.code == code && error.detail.find(part) != std::string::npos) return true;
    }
    return false;
}

std::vector<std::string> SourcesTest::consumers(const std::string& stream) {
    const auto answer = raw().api("CONSUMER.NAMES." + stream);
    EXPECT_TRUE(answer) << answer.error();
    if (!answer || answer->at("consumers").is_null()) return {};
    auto names = answer->at("consumers").get<std::vector<std::string>>();
    std::sort(names.begin(), names.end());
    return names;
}

void SourcesTest::stream(const std::string& name, const std::string& subjects, const nlohmann::json& more) {
    nlohmann::json config = {{"name", name}, {"subjects", {subjects}}, {"storage", "file"}};
    config.update(more);
    const auto made = raw().api("STREAM.CREATE." + name, config);
    ASSERT_TRUE(made) << made.error();
}

}  // namespace parti::test
