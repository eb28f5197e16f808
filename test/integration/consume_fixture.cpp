#include "consume_fixture.h"

#include <nats/nats.h>

namespace parti::test {

Handler Seen::handler() {
    return [this](Message& message) -> Result<void> {
        add(message);
        return {};
    };
}

Handler Seen::handler(Hold hold) {
    return [this, hold = std::move(hold)](Message& message) mutable -> Result<void> {
        hold.wait();
        add(message);
        return {};
    };
}

void Seen::add(const Message& message) {
    const std::uint64_t number = std::stoull(std::string(message.payload()));
    const std::lock_guard lock(mutex_);
    const std::string& partition = message.ownership().partition().id();
    seen_[partition].push_back(number);
    if (message.delivered() > 1) again_[partition].emplace_back(number, message.delivered());
}

std::vector<std::uint64_t> Seen::of(const std::string& partition) const {
    const std::lock_guard lock(mutex_);
    const auto at = seen_.find(partition);
    return at == seen_.end() ? std::vector<std::uint64_t>() : at->second;
}

std::size_t Seen::total() const {
    const std::lock_guard lock(mutex_);
    std::size_t sum = 0;
    for (const auto& entry : seen_) sum += entry.second.size();
    return sum;
}

std::size_t Seen::distinct() const {
    const std::lock_guard lock(mutex_);
    std::size_t sum = 0;
    for (const auto& entry : seen_) sum += std::set<std::uint64_t>(entry.second.begin(), entry.second.end()).size();
    return sum;
}

std::string Seen::in_order_once(const std::vector<std::string>& partitions, std::uint64_t count) const {
    for (const std::string& id : partitions) {
        const auto list = of(id);
        std::uint64_t expected = 0;
        for (const std::uint64_t number : list) {
            if (number != expected) {
                return id + ": " + std::to_string(number) + " came where " + std::to_string(expected) + " was due" +
                       (number < expected ? " (a replay)" : " (a gap)") + "; delivered again:" + again(id);
            }
            ++expected;
        }
        if (expected != count) return id + ": " + std::to_string(expected) + " of " + std::to_string(count) + " came";
    }
    return {};
}

std::string Seen::again(const std::string& partition) const {
    const std::lock_guard lock(mutex_);
    std::string out;
    const auto at = again_.find(partition);
    if (at == again_.end()) return " none";
    for (const auto& entry : at->second)
        out += " " + std::to_string(entry.first) + " (" + std::to_string(entry.second) + " times)";
    return out;
}

void ConsumeTest::SetUp() {
    WorkerTest::SetUp();
    auto raw = RawNats::connect(server_->url());
    ASSERT_TRUE(raw) << raw.error();
    raw_.emplace(std::move(*raw));
}

void ConsumeTest::TearDown() {
    // Durables of partitions stay by design; they go with their stream.
    if (raw_ && server_ && server_->pid() != 0) static_cast<void>(raw_->api("STREAM.DELETE.ORDERS"));
    raw_.reset();
    WorkerTest::TearDown();
}

void ConsumeTest::make_stream(const nlohmann::json& more) {
    nlohmann::json config{
        {"name", "ORDERS"}, {"subjects", {"orders.*"}}, {"storage", "file"}, {"retention", "limits"}, {"num_replicas", 1}};
    config.update(more);
    const auto made = raw_->api("STREAM.CREATE.ORDERS", config);
    ASSERT_TRUE(made) << made.error();
    ASSERT_FALSE(made->contains("error")) << made->dump();
}

ConsumerConfig ConsumeTest::consuming() const {
    ConsumerConfig config;
    config.stream = "ORDERS";
    config.subject = "orders.{1}";
    config.prefix = "c";
    return config;
}

std::unique_ptr<Member> ConsumeTest::member(const Context& context, const std::shared_ptr<Source>& source, Handler handler,
                                            ConsumerConfig config, Callbacks callbacks, bool start_worker) {
    auto made = std::make_unique<Member>(Member{worker(context, source, std::move(callbacks)), std::nullopt});
    auto consumer = Consumer::make(made->worker, std::move(config), std::move(handler));
    if (!consumer) throw std::runtime_error(consumer.error().message());
    made->consumer.emplace(std::move(*consumer));
    if (const auto started = made->consumer->start(); !started) throw std::runtime_error(started.error().message());
    if (start_worker) made->worker.start();
    return made;
}

void ConsumeTest::publish(const std::vector<std::string>& partitions, std::uint64_t count) {
    const auto info = raw_->api("STREAM.INFO.ORDERS");
    ASSERT_TRUE(info && info->contains("state"));
    const std::uint64_t wanted = (*info)["state"]["last_seq"].get<std::uint64_t>() + count * partitions.size();
    for (std::uint64_t k = 0; k < count; ++k) {
        for (const std::string& id : partitions) {
            const std::string subject = "orders." + id.substr(id.rfind('.') + 1);
            ASSERT_EQ(natsConnection_PublishString(raw_->get(), subject.c_str(), std::to_string(published_[id]++).c_str()),
                      NATS_OK);
        }
    }
    ASSERT_TRUE(eventually([&] {
        const auto now = raw_->api("STREAM.INFO.ORDERS");
        return now && now->contains("state") && (*now)["state"]["last_seq"].get<std::uint64_t>() >= wanted;
    }));
}

nlohmann::json ConsumeTest::consumer_info(const std::string& durable) {
    const auto info = raw_->api("CONSUMER.INFO.ORDERS." + durable);
    return info ? *info : nlohmann::json::object();
}

std::uint64_t ConsumeTest::consumers_on_stream() {
    const auto info = raw_->api("STREAM.INFO.ORDERS");
    return info && info->contains("state") ? (*info)["state"]["consumer_count"].get<std::uint64_t>() : 0;
}

std::vector<std::string> ConsumeTest::ids(int partitions) {
    std::vector<std::string> out;
    for (int i = 0; i < partitions; ++i) out.push_back("p." + std::to_string(1000 + i));
    return out;
}

}  // namespace parti::test
