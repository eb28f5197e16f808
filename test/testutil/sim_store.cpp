#include "testutil/sim_store.h"

#include <algorithm>

#include "base/assert.h"

namespace parti::testutil {
namespace {
const std::string kAll = ">";
const std::string kWorkers = "worker.*";
}  // namespace

bool sim_matches(std::string_view pattern, std::string_view key) {
    if (pattern == kAll) return true;
    if (pattern == kWorkers) {
        return key.size() > 7 && key.substr(0, 7) == "worker." && key.find('.', 7) == std::string_view::npos;
    }
    return pattern == key;
}

bool SimStore::create(const std::string& bucket, Storage storage, std::uint32_t replicas) {
    const auto [it, made] = streams_.try_emplace(bucket);
    if (!made) return false;
    it->second.bucket = bucket;
    it->second.identity = ++last_identity_;
    it->second.storage = storage;
    it->second.replicas = replicas;
    return true;
}

const SimStore::Stream* SimStore::find(const std::string& bucket) const {
    const auto it = streams_.find(bucket);
    return it == streams_.end() ? nullptr : &it->second;
}

SimStore::PutOutcome SimStore::put(const std::string& bucket, const std::string& key, std::shared_ptr<const std::string> bytes,
                                   std::uint64_t expected) {
    const auto stream = streams_.find(bucket);
    PARTI_ASSERT(stream != streams_.end());
    const auto it = stream->second.messages.find(key);
    const std::uint64_t present = it == stream->second.messages.end() ? 0 : it->second.revision;
    if (present != expected && expected != kAnyRevision && !ignore_expectations_) return {false, present};
    return {true, store(stream->second, key, std::move(bytes))};
}

std::uint64_t SimStore::store(Stream& stream, const std::string& key, std::shared_ptr<const std::string> bytes) {
    const SimMessage message{++stream.last_sequence, std::move(bytes), ++last_stored_};
    stream.messages.insert_or_assign(key, message);
    if (observer_) observer_(stream, key, message);
    const auto it = subscriptions_.find(stream.bucket);
    if (it != subscriptions_.end()) {
        tell(it->second, key, key, message);
        if (sim_matches(kWorkers, key)) tell(it->second, kWorkers, key, message);
        tell(it->second, kAll, key, message);
    }
    return message.revision;
}

void SimStore::tell(const ByPattern& by_pattern, const std::string& pattern, const std::string& key,
                    const SimMessage& message) const {
    const auto it = by_pattern.find(pattern);
    if (it == by_pattern.end()) return;
    for (const Subscription& s : it->second) s.on_message(key, message);
}

const SimMessage* SimStore::last(const std::string& bucket, const std::string& key) const {
    const Stream* stream = find(bucket);
    if (stream == nullptr) return nullptr;
    const auto it = stream->messages.find(key);
    return it == stream->messages.end() ? nullptr : &it->second;
}

std::vector<std::pair<std::string, SimMessage>> SimStore::matching(const std::string& bucket, const std::string& pattern) const {
    std::vector<std::pair<std::string, SimMessage>> out;
    const Stream* stream = find(bucket);
    if (stream == nullptr) return out;
    for (const auto& [key, message] : stream->messages) {
        if (sim_matches(pattern, key)) out.emplace_back(key, message);
    }
    std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.second.revision < b.second.revision; });
    return out;
}

void SimStore::overwrite(const std::string& bucket, const std::string& key, std::shared_ptr<const std::string> bytes) {
    const auto stream = streams_.find(bucket);
    PARTI_ASSERT(stream != streams_.end());
    store(stream->second, key, std::move(bytes));
}

void SimStore::mark(const std::string& bucket, const std::string& key) { overwrite(bucket, key, nullptr); }

void SimStore::erase(const std::string& bucket, const std::string& key) {
    const auto stream = streams_.find(bucket);
    PARTI_ASSERT(stream != streams_.end());
    stream->second.messages.erase(key);
}

void SimStore::remove(const std::string& bucket) {
    streams_.erase(bucket);
    end_subscriptions(bucket);
}

void SimStore::wipe(const std::string& bucket) {
    const auto it = streams_.find(bucket);
    PARTI_ASSERT(it != streams_.end());
    it->second.messages.clear();
    it->second.last_sequence = 0;
    it->second.identity = ++last_identity_;
    end_subscriptions(bucket);
}

SimStore::Stream SimStore::snapshot(const std::string& bucket) const {
    const Stream* stream = find(bucket);
    PARTI_ASSERT(stream != nullptr);
    return *stream;
}

void SimStore::restore(const Stream& copy) {
    streams_.insert_or_assign(copy.bucket, copy);
    end_subscriptions(copy.bucket);
}

SimStore::SubscriptionId SimStore::subscribe(const std::string& bucket, const std::string& pattern, OnMessage on_message,
                                             OnGone on_gone) {
    const SubscriptionId id = ++last_subscription_;
    subscriptions_[bucket][pattern].push_back({id, std::move(on_message), std::move(on_gone)});
    where_.emplace(id, std::pair(bucket, pattern));
    return id;
}

void SimStore::unsubscribe(SubscriptionId id) {
    const auto it = where_.find(id);
    if (it == where_.end()) return;
    auto& list = subscriptions_[it->second.first][it->second.second];
    std::erase_if(list, [id](const Subscription& s) { return s.id == id; });
    where_.erase(it);
}

std::size_t SimStore::end_subscriptions(const std::string& bucket) {
    const auto it = subscriptions_.find(bucket);
    if (it == subscriptions_.end()) return 0;
    std::map<SubscriptionId, OnGone> gone;  // in the order of subscribing, whatever the hash table's order
    for (auto& [pattern, list] : it->second) {
        for (Subscription& s : list) {
            where_.erase(s.id);
            gone.emplace(s.id, std::move(s.on_gone));
        }
    }
    subscriptions_.erase(it);
    for (auto& [id, on_gone] : gone) {
        if (on_gone) on_gone();
    }
    return gone.size();
}

std::size_t SimStore::subscriptions(const std::string& bucket) const {
    std::size_t count = 0;
    for (const auto& [id, where] : where_) {
        if (where.first == bucket) ++count;
    }
    return count;
}

std::vector<std::string> SimStore::buckets() const {
    std::vector<std::string> out;
    for (const auto& [name, stream] : streams_) out.push_back(name);
    return out;
}

}  // namespace parti::testutil
