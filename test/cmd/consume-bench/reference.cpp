// The reference: nats.c's own pull consumer as its examples use it, js_PullSubscribe, Fetch, handler, Ack.
#include <nats/nats.h>

#include <thread>

#include "bench.h"

namespace parti::bench {
namespace {

using test::failure;

class Reference final : public Consuming {
public:
    ~Reference() override {
        stopping_ = true;
        join();
        for (natsSubscription* s : subscriptions_) natsSubscription_Destroy(s);
        jsCtx_Destroy(js_);
        natsConnection_Destroy(connection_);
    }

    Outcome<void> prepare(const ChildOptions& options, Tally& tally) override {
        options_ = options;
        tally_ = &tally;
        natsStatus status = natsConnection_ConnectTo(&connection_, options.url.c_str());
        if (status == NATS_OK) status = natsConnection_JetStream(&js_, connection_, nullptr);
        if (status != NATS_OK) return failure("connect to " + options.url + ": " + natsStatus_GetText(status));
        for (std::uint32_t i = 0; i < options.partitions; ++i) {
            const std::string durable = "ref-" + std::to_string(i);
            jsSubOptions sub;
            jsSubOptions_Init(&sub);
            sub.Stream = kStream;
            sub.Config.AckPolicy = js_AckExplicit;
            sub.Config.MaxAckPending = options.pending;
            sub.Config.AckWait = 30'000'000'000;
            natsSubscription* made = nullptr;
            jsErrCode error{};
            status = js_PullSubscribe(&made, js_, subject_name(i).c_str(), durable.c_str(), nullptr, &sub, &error);
            if (status != NATS_OK)
                return failure(durable + ": " + natsStatus_GetText(status) + " (" + std::to_string(error) + ")");
            subscriptions_.push_back(made);
        }
        return {};
    }

    Outcome<void> go() override {
        for (std::uint32_t t = 0; t < options_.threads; ++t) threads_.emplace_back([this, t] { fetch(t); });
        return {};
    }

    Outcome<void> stop() override {
        stopping_ = true;
        join();
        return {};
    }

private:
    void join() {
        for (std::thread& thread : threads_) {
            if (thread.joinable()) thread.join();
        }
    }

    void fetch(std::uint32_t thread) {
        constexpr std::int64_t patience_ms = 200;
        while (!stopping_) {
            for (std::size_t i = thread; i < subscriptions_.size() && !stopping_; i += options_.threads) {
                natsMsgList list{};
                jsErrCode error{};
                if (natsSubscription_Fetch(&list, subscriptions_[i], static_cast<int>(options_.batch), patience_ms, &error) !=
                    NATS_OK)
                    continue;
                for (int m = 0; m < list.Count; ++m) {
                    tally_->taken({natsMsg_GetData(list.Msgs[m]), static_cast<std::size_t>(natsMsg_GetDataLength(list.Msgs[m]))});
                    natsMsg_Ack(list.Msgs[m], nullptr);
                }
                natsMsgList_Destroy(&list);
            }
        }
    }

    ChildOptions options_;
    Tally* tally_ = nullptr;
    natsConnection* connection_ = nullptr;
    jsCtx* js_ = nullptr;
    std::vector<natsSubscription*> subscriptions_;
    std::vector<std::thread> threads_;
    std::atomic<bool> stopping_{false};
};

}  // namespace

std::unique_ptr<Consuming> make_reference() { return std::make_unique<Reference>(); }

}  // namespace parti::bench
