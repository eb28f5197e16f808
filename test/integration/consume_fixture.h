// ConsumeTest: a stream, messages that count per partition, workers with consumers, and a record of what was handled.
//
// Model     Message k of partition i carries the text k, from 0; the record keeps the order in which handlers saw them.
// Threads   The test's thread; the record is behind a lock.
#pragma once

#include <map>

#include <parti/parti.h>

#include "raw_nats.h"
#include "worker_fixture.h"

namespace parti::test {

// What handlers saw, per partition id.
class Seen {
public:
    Handler handler();           // records and succeeds
    Handler handler(Hold hold);  // waits there first
    void add(const Message& message);
    std::vector<std::uint64_t> of(const std::string& partition) const;
    std::size_t total() const;
    std::size_t distinct() const;
    // Every partition: 0, 1, 2 ... count - 1, each once and in order; else what is wrong.
    std::string in_order_once(const std::vector<std::string>& partitions, std::uint64_t count) const;

private:
    std::string again(const std::string& partition) const;

    mutable std::mutex mutex_;
    std::map<std::string, std::vector<std::uint64_t>> seen_;
    std::map<std::string, std::vector<std::pair<std::uint64_t, std::uint64_t>>> again_;  // message, deliveries
};

// A worker with a consumer that was started.
struct Member {
    Worker worker;
    std::optional<Consumer> consumer;
};

class ConsumeTest : public WorkerTest {
protected:
    void SetUp() override;
    void TearDown() override;

    void make_stream(const nlohmann::json& more = nlohmann::json::object());  // "ORDERS", orders.*
    ConsumerConfig consuming() const;                                         // stream ORDERS, "orders.{1}", prefix "c"
    std::unique_ptr<Member> member(const Context& context, const std::shared_ptr<Source>& source, Handler handler,
                                   ConsumerConfig config, Callbacks callbacks = {}, bool start_worker = true);
    // Appends `count` messages to each partition, one each in turn, and waits until the stream has them.
    void publish(const std::vector<std::string>& partitions, std::uint64_t count);
    nlohmann::json consumer_info(const std::string& durable);
    std::uint64_t consumers_on_stream();
    static std::vector<std::string> ids(int partitions);

    std::optional<RawNats> raw_;
    std::map<std::string, std::uint64_t> published_;
    Seen seen_;
};

}  // namespace parti::test
