// ConsumerImpl, from start() to the first partition: what must be there, and what to do when it is not.
#include <algorithm>
#include <future>
#include <map>
#include <utility>

#include "base/durations.h"
#include "consume/consumer_impl.h"
#include "jetstream/json.h"
#include "jetstream/nats_client.h"
#include "jetstream/server_version.h"

namespace parti::consume {
namespace {

constexpr Duration kAskTimeout = std::chrono::seconds(5);
constexpr Duration kConfirmMax = std::chrono::hours(24);
constexpr Duration kPullExpiresMin = std::chrono::milliseconds(100);
constexpr Duration kHeartbeatFree = std::chrono::seconds(10);
constexpr Duration kPullHeartbeat = std::chrono::seconds(5);
constexpr jetstream::Version kManyFilters{2, 10, 0};

enum Phase : int { kMade, kStarted, kStopped };

std::string joined(const std::vector<std::string>& list) {
    std::string out;
    for (const std::string& item : list) out += (out.empty() ? "'" : ", '") + item + "'";
    return out.empty() ? "none" : out;
}

}  // namespace

Result<ConsumerImpl::Answer> ConsumerImpl::ask(const std::string& subject, const std::string& body) const {
    auto promise = std::make_shared<std::promise<Result<Answer>>>();
    auto future = promise->get_future();
    poster_->post([link = link_, subject, body, promise] {
        link->request({"$JS.API." + subject, body, {}, kAskTimeout, false, {}}, [promise](Result<jetstream::Message> answer) {
            if (!answer) return promise->set_value(tl::unexpected<Error>(answer.error()));
            const std::string_view bytes = jetstream::payload(*answer);
            promise->set_value(Answer{std::string(bytes), jetstream::api_error(bytes)});
        });
    });
    if (future.wait_for(2 * kAskTimeout) != std::future_status::ready) return fail(Errc::timeout, subject);
    return future.get();
}

// Through the worker's own reader: a source is asked by one call at a time, on a callback thread.
runtime::PartitionNews ConsumerImpl::ask_source() {
    class FirstAnswer final : public runtime::SourceUser {
    public:
        // What it tells by itself counts when it is a list; an error then is everybody's, and the answer follows.
        void partitions_told(const runtime::PartitionNews& news, bool asked) override {
            if ((asked || news) && !std::exchange(told_, true)) promise.set_value(news);
        }
        std::promise<runtime::PartitionNews> promise;

    private:
        bool told_ = false;
    };
    const auto answer = std::make_shared<FirstAnswer>();
    auto future = answer->promise.get_future();
    const Config& config = worker_->shell->config();
    worker_->context->run_on_io([&] {
        reader_ = worker_->context->source_reader(worker_->shell->source(), worker_->shell->callback_limit());
        reader_->join(answer);
        reader_->ask(answer, false);
    });
    if (future.wait_for(config.timing.startup_timeout) == std::future_status::ready) return future.get();
    return fail(Errc::timeout, "the worker's source has not listed its partitions within startup_timeout (" +
                                   base::to_text(config.timing.startup_timeout) +
                                   "): it hangs, or every callback thread is busy");
}

Result<void> ConsumerImpl::start() {
    if (worker_->context->on_own_thread())
        return fail(Errc::stopping, "Consumer::start() waits and must not be called inside a callback");
    int made = kMade;
    if (!phase_.compare_exchange_strong(made, kStarted)) {
        if (made == kStarted) return {};
        return fail(Errc::stopping, "the consumer was stopped; make a new one");
    }
    auto checked = worker_->shell->state() == State::stopped
                       ? fail(Errc::stopping, "the worker has ended; nothing would be consumed for it")
                       : check();
    if (!checked) {
        int started = kStarted;
        phase_.compare_exchange_strong(started, kMade);
        return checked;
    }
    bool stopped = false;
    worker_->context->run_on_io([&] {
        stopped = phase_.load() == kStopped;
        if (stopped) return close_on_io();
        make_shop();
        timer_ = std::make_unique<runtime::TimerQueue::Timer>(worker_->context->timers(), [this] { tick(); });
        reconnects_ = link_->reconnects();
        if (config_.mode == ConsumerMode::per_worker) make_worker_feed();
        worker_->shell->add_hook(shared_from_this());
    });
    if (stopped) return fail(Errc::stopping, "the consumer was stopped while it started");
    return {};
}

Result<void> ConsumerImpl::check() {
    const Config& worker = worker_->shell->config();
    if (config_.prefix.empty()) config_.prefix = worker.group;
    if (config_.ack_wait == Duration::zero()) config_.ack_wait = worker.timing.ttl;
    if (config_.pull_expires == Duration::zero())
        config_.pull_expires =
            std::max<Duration>(kPullExpiresMin, worker.timing.ttl + worker.timing.margin - worker.timing.heartbeat);
    if (config_.pull_heartbeat == Duration::zero() && config_.pull_expires > kHeartbeatFree)
        config_.pull_heartbeat = kPullHeartbeat;
    if (config_.pull_heartbeat > config_.pull_expires / 2) {
        return fail(Errc::invalid_config, "pull_heartbeat (" + base::to_text(config_.pull_heartbeat) +
                                              ") must be at most half of pull_expires (" + base::to_text(config_.pull_expires) +
                                              ", from the worker's timing)");
    }
    worker_->context->run_on_io([this] { link_ = jetstream::link_of(worker_->context->client()); });
    if (!link_) return fail(Errc::internal, "this context has no connection to consume through");
    if (auto ok = check_version(worker_->context->server_version()); !ok) return ok;
    auto answer = ask("STREAM.INFO." + config_.stream, "");
    if (!answer) return tl::unexpected<Error>(answer.error());
    if (answer->error) {
        if (answer->error->code == jetstream::kApiStreamNotFound) {
            return fail(Errc::not_found, "stream '" + config_.stream +
                                             "' does not exist; create it with a subject that covers '" + subject_.pattern() +
                                             "'");
        }
        return tl::unexpected<Error>(jetstream::to_error(*answer->error, "STREAM.INFO." + config_.stream));
    }
    const auto facts = jetstream::parse_stream_facts(answer->bytes);
    if (!facts) return tl::unexpected<Error>(facts.error());
    if (auto ok = check_stream(*facts); !ok) return ok;
    stream_created_ = facts->created;
    work_queue_ = facts->retention == "workqueue";
    const runtime::PartitionNews partitions = ask_source();
    if (!partitions) return tl::unexpected<Error>(partitions.error());
    if (*partitions == nullptr) return {};
    return check_partitions(**partitions, *facts);
}

Result<void> ConsumerImpl::check_version(const std::string& text) const {
    const auto version = jetstream::parse_version(text);
    // A server that does not tell (TLS first): what it makes of a list of filters is checked when the durable has been made.
    if (!version || config_.mode == ConsumerMode::per_partition || *version >= kManyFilters) return {};
    return fail(Errc::unsupported_server,
                "mode per_worker needs nats-server 2.10 or newer (several filters per consumer; older ones ignore "
                "them silently), and this one is " +
                    text + ": use mode per_partition, or a newer server");
}

Result<void> ConsumerImpl::check_stream(const jetstream::StreamFacts& facts) const {
    const std::string name = "stream '" + config_.stream + "' ";
    if (config_.mode == ConsumerMode::per_worker && facts.retention != "workqueue") {
        return fail(Errc::invalid_config,
                    name + "has retention '" + facts.retention +
                        "', and mode per_worker needs 'workqueue': with another one a gained partition's backlog would be "
                        "lost or come again; use mode per_partition");
    }
    const bool covered = std::any_of(facts.subjects.begin(), facts.subjects.end(),
                                     [this](const std::string& subject) { return covers(subject, subject_.pattern()); });
    const bool fixed_tokens_differ =
        std::none_of(facts.subjects.begin(), facts.subjects.end(), [this](const std::string& subject) {
            return covers(subject_.pattern(), subject) || covers(subject, subject_.pattern());
        });
    if (!covered && (facts.subjects.empty() || fixed_tokens_differ)) {
        return fail(Errc::invalid_config, name + "listens to " + joined(facts.subjects) + ", which does not cover '" +
                                              subject_.pattern() + "' (subject '" + subject_.text() +
                                              "'): add it to the stream, or correct the subject");
    }
    if (dead_letter_ && covers(subject_.pattern(), dead_letter_->pattern())) {
        return fail(Errc::invalid_config, "dead_letter_subject ('" + config_.dead_letter_subject +
                                              "') lies within what is consumed ('" + subject_.pattern() +
                                              "'): dead letters would be consumed again");
    }
    return {};
}

Result<void> ConsumerImpl::check_partitions(const PartitionSet& partitions, const jetstream::StreamFacts& facts) const {
    std::map<std::string, const Partition*> subjects;
    for (const Partition& partition : partitions) {
        auto subject = subject_.render(partition);
        if (!subject) return tl::unexpected<Error>(Error{Errc::invalid_config, subject.error().detail});
        if (dead_letter_) {
            if (const auto dead = dead_letter_->render(partition); !dead)
                return tl::unexpected<Error>(Error{Errc::invalid_config, "dead_letter_subject: " + dead.error().detail});
        }
        const bool covered = std::any_of(facts.subjects.begin(), facts.subjects.end(),
                                         [&](const std::string& wide) { return covers(wide, *subject); });
        if (!covered) {
            return fail(Errc::invalid_config, "partition '" + partition.id() + "' has subject '" + *subject +
                                                  "', which stream '" + config_.stream + "' (" + joined(facts.subjects) +
                                                  ") does not listen to");
        }
        const auto [at, fresh] = subjects.emplace(std::move(*subject), &partition);
        if (!fresh) {
            return fail(Errc::invalid_config, "partitions '" + at->second->id() + "' and '" + partition.id() +
                                                  "' have the same subject '" + at->first + "': subject ('" + subject_.text() +
                                                  "') must tell them apart");
        }
        if (config_.mode != ConsumerMode::per_partition) continue;
        if (auto name = partition_durable(config_.prefix, partition); !name) return tl::unexpected<Error>(name.error());
    }
    if (config_.mode != ConsumerMode::per_partition) return {};
    const bool own_limit = facts.consumers_max > 0 && static_cast<std::uint64_t>(facts.consumers_max) < config_.consumers_max;
    const std::uint64_t cap = own_limit ? static_cast<std::uint64_t>(facts.consumers_max) : config_.consumers_max;
    if (partitions.size() <= cap) return {};
    return fail(Errc::invalid_config,
                std::to_string(partitions.size()) + " partitions need as many consumers of stream '" + config_.stream +
                    "', and it may have " + std::to_string(cap) + " (" +
                    (own_limit ? "the stream's max_consumers"
                               : "consumers_max; recent servers' default_max_consumers is 1,000 a stream") +
                    "): hash the keys into a fixed number of partition tokens (NATS subject mapping {{partition(n,...)}}), so "
                    "that there are "
                    "fewer partitions" +
                    (own_limit ? ", or raise the stream's" : ", or raise both the server's limit and consumers_max"));
}

void ConsumerImpl::make_shop() {
    runtime::ContextImpl& context = *worker_->context;
    const auto weak = weak_from_this();
    const auto poster = poster_;
    const std::uint32_t concurrency =
        config_.concurrency == 0 ? static_cast<std::uint32_t>(context.executor().threads()) : config_.concurrency;
    runner_ = std::make_shared<Runner>(
        context.executor(), link_->outlet(), config_.handler_timeout, [weak](Duration age, bool replaced) {
            const auto self = weak.lock();
            if (!self) return;
            self->worker_->shell->report(
                {Errc::callback_failed, "a consumer's handler has not returned for " +
                                            std::to_string(std::chrono::duration_cast<std::chrono::milliseconds>(age).count()) +
                                            " ms (handler_timeout); its message is not renewed any more, and its thread " +
                                            (replaced ? "is replaced" : "is not replaced: too many were")});
        });
    runner_->start(std::max(1U, concurrency));
    auto shop = std::make_shared<Shop>();
    shop->config = config_;
    shop->handler = handler_;
    shop->outlet = link_->outlet();
    shop->ready = [runner = std::weak_ptr<Runner>(runner_)](std::shared_ptr<Lane> lane) {
        if (const auto alive = runner.lock()) alive->ready(std::move(lane));
    };
    shop->idle = [poster, weak](std::uint64_t grant) {
        post_to(poster, weak, [grant](ConsumerImpl& self) { self.try_finish(grant); });
    };
    shop->report = [poster, weak](Error error) {
        post_to(poster, weak, [error = std::move(error)](ConsumerImpl& self) { self.worker_->shell->report(error); });
    };
    shop->dead_letter = [poster, weak](std::shared_ptr<Delivery> delivery, std::string why) {
        post_to(poster, weak,
                [delivery = std::move(delivery), why = std::move(why)](ConsumerImpl& self) { self.dead_letter(delivery, why); });
    };
    shop->confirm = [poster, link = std::weak_ptr<jetstream::Link>(link_)](const std::string& subject,
                                                                           Duration given) -> Result<void> {
        const Duration timeout = std::min<Duration>(given, kConfirmMax);
        auto promise = std::make_shared<std::promise<Result<void>>>();
        auto future = promise->get_future();
        poster->post([link, subject, timeout, promise] {
            const auto open = link.lock();
            if (!open) return promise->set_value(fail(Errc::stopping, "the context has ended"));
            open->request({subject, "+ACK", {}, timeout, false, {}}, [promise](const Result<jetstream::Message>& answer) {
                promise->set_value(answer ? Result<void>() : Result<void>(tl::unexpected<Error>(answer.error())));
            });
        });
        if (future.wait_for(timeout + std::chrono::seconds(1)) != std::future_status::ready)
            return fail(Errc::timeout, "the ack was not confirmed in time; the message may come again");
        return future.get();
    };
    shop_ = std::move(shop);
}

}  // namespace parti::consume
