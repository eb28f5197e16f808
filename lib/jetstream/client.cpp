#include "jetstream/client.h"

#include <map>
#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

#include "jetstream/bucket.h"
#include "jetstream/json.h"
#include "jetstream/link.h"
#include "jetstream/nats_client.h"
#include "jetstream/reaper.h"
#include "jetstream/watch.h"

namespace parti::jetstream {
namespace {

constexpr Duration kHeartbeatMin = std::chrono::milliseconds(100);
constexpr std::size_t kHeaderBytesMax = 128;  // of a put: one expectation
constexpr Duration kStopLimit = std::chrono::seconds(1);

// What goes on, to be ended with the client. An entry goes with what it names: a weak pointer would keep its memory.
template <class T>
using Ongoing = std::map<const T*, std::weak_ptr<T>>;

class WatchHandle final : public SubjectsWatch {
public:
    WatchHandle(std::shared_ptr<WatchState> state, std::shared_ptr<Ongoing<WatchState>> all)
        : state_(std::move(state)), all_(std::move(all)) {
        all_->emplace(state_.get(), state_);
    }
    ~WatchHandle() override {
        all_->erase(state_.get());
        state_->close();
    }
    WatchHandle(const WatchHandle&) = delete;
    WatchHandle& operator=(const WatchHandle&) = delete;
    void reread() override { state_->reread(); }

private:
    std::shared_ptr<WatchState> state_;
    std::shared_ptr<Ongoing<WatchState>> all_;
};

// A watch that cannot be: its name breaks a rule. It says so once and stays silent.
class DeadWatch final : public SubjectsWatch {
    void reread() override {}
};

class NatsClientImpl final : public NatsClient, public std::enable_shared_from_this<NatsClientImpl> {
public:
    explicit NatsClientImpl(std::shared_ptr<Link> link) : link_(std::move(link)), reaper_(std::make_shared<Reaper>(link_)) {}
    ~NatsClientImpl() override {
        abandon_all();
        link_->close();
    }
    NatsClientImpl(const NatsClientImpl&) = delete;
    NatsClientImpl& operator=(const NatsClientImpl&) = delete;

    void ensure_bucket(const BucketSpec& spec, Duration timeout, std::function<void(Result<BucketInfo>)> handler) override {
        auto operation = std::make_shared<EnsureBucket>(link_, spec, timeout, std::move(handler));
        std::erase_if(operations_, [](const auto& entry) { return entry.second.expired(); });
        operations_.emplace(operation.get(), operation);
        operation->start();
    }

    void put(const std::string& bucket, const std::string& key, std::string_view bytes, std::uint64_t expected, Duration timeout,
             std::function<void(PutAnswer)> handler) override {
        if (!valid_bucket_name(bucket) || !valid_key(key, false)) {
            boost::asio::post(link_->io(), [handler = std::move(handler), error = bad_name(bucket, key)] {
                handler({PutResult::no_information, 0, error});
            });
            return;
        }
        link_->request({"$KV." + bucket + "." + key, bytes, expected, timeout, false},
                       [handler = std::move(handler), stream = "KV_" + bucket](Result<Message> answer) {
                           if (!answer) return handler({PutResult::no_information, 0, std::move(answer.error())});
                           handler(parse_pub_ack(payload(*answer), stream));
                       });
    }

    std::size_t value_bytes_max() const override {
        const std::size_t limit = link_->payload_bytes_max();  // headers count
        return limit > kHeaderBytesMax ? limit - kHeaderBytesMax : 0;
    }

    void get(const std::string& bucket, const std::string& key, Duration timeout,
             std::function<void(Result<RawEntry>)> handler) override {
        if (!valid_bucket_name(bucket) || !valid_key(key, false)) {
            boost::asio::post(link_->io(), [handler = std::move(handler), error = bad_name(bucket, key)] {
                handler(tl::unexpected<Error>(error));
            });
            return;
        }
        const std::string prefix = "$KV." + bucket + ".";
        const std::string body = last_by_subject_json(prefix + key);
        link_->request({"$JS.API.STREAM.MSG.GET.KV_" + bucket, body, {}, timeout, false},
                       [handler = std::move(handler), prefix, key](Result<Message> answer) {
                           if (!answer) return handler(tl::unexpected<Error>(std::move(answer.error())));
                           handler(parse_stored_message(payload(*answer), prefix, key));
                       });
    }

    std::unique_ptr<Watch> watch(const std::string& bucket, const std::string& pattern, WatchHandlers handlers) override {
        if (!stopping_ && (!valid_bucket_name(bucket) || !valid_key(pattern, true))) {
            boost::asio::post(link_->io(), [on_lost = std::move(handlers.on_lost), error = bad_name(bucket, pattern)] {
                if (on_lost) on_lost(error.message());
            });
            return std::make_unique<DeadWatch>();
        }
        const std::string prefix = "$KV." + bucket + ".";
        return open({"KV_" + bucket, prefix + pattern, prefix, false, {}}, std::move(handlers));
    }

    std::unique_ptr<SubjectsWatch> watch_subjects(SubjectsSpec spec, WatchHandlers handlers) override {
        if (!stopping_ && (!valid_stream_name(spec.stream) || !valid_filter(spec.filter))) {
            boost::asio::post(link_->io(),
                              [failed = std::move(spec.on_attempt_failed),
                               error = Error{Errc::invalid_argument,
                                             "stream \"" + spec.stream + "\", filter \"" + spec.filter +
                                                 "\": a name has no '.', '*', '>', '/', blank; a filter is a subject"}] {
                                  if (failed) failed(error);
                              });
            return std::make_unique<DeadWatch>();
        }
        return open(std::move(spec), std::move(handlers));
    }

    void api(const std::string& subject, std::string_view body, Duration timeout,
             std::function<void(Result<std::string>)> handler) override {
        link_->request({"$JS.API." + subject, body, {}, timeout, false},
                       [handler = std::move(handler), subject](Result<Message> answer) {
                           if (!answer) return handler(tl::unexpected<Error>(std::move(answer.error())));
                           if (const auto error = api_error(payload(*answer)))
                               return handler(tl::unexpected<Error>(to_error(*error, subject)));
                           handler(std::string(payload(*answer)));
                       });
    }

    void stop(std::function<void()> done) override {
        if (std::exchange(stopping_, true)) {
            stop_waiters_.push_back(std::move(done));
            if (stopped_) boost::asio::post(link_->io(), [waiters = std::exchange(stop_waiters_, {})] { run(waiters); });
            return;
        }
        stop_waiters_.push_back(std::move(done));
        link_->fail_pending();
        boost::asio::post(link_->io(), [operations = std::exchange(operations_, {})] {
            for (const auto& entry : operations) {
                if (auto operation = entry.second.lock()) operation->abort();
            }
        });
        close_watches();
        reaper_->finish(kStopLimit, [self = shared_from_this()] {
            self->link_->close();
            self->stopped_ = true;
            // Posted, so that everything that was answered before is delivered before.
            boost::asio::post(self->link_->io(), [waiters = std::exchange(self->stop_waiters_, {})] { run(waiters); });
        });
    }

    ClientStats stats() const override { return link_->stats(); }
    const std::shared_ptr<Link>& link() const { return link_; }

private:
    std::unique_ptr<SubjectsWatch> open(SubjectsSpec spec, WatchHandlers handlers) {
        if (stopping_) return std::make_unique<DeadWatch>();
        auto state = std::make_shared<WatchState>(link_, reaper_, std::move(spec), std::move(handlers));
        auto handle = std::make_unique<WatchHandle>(state, watches_);
        state->start();
        return handle;
    }
    static Error bad_name(const std::string& bucket, const std::string& key) {
        return {Errc::invalid_argument,
                "bucket \"" + bucket + "\", key \"" + key +
                    "\": a bucket is 1 to 200 of A-Z a-z 0-9 _ -, a key is tokens of A-Z a-z 0-9 _ - / = joined by single dots"};
    }
    static void run(const std::vector<std::function<void()>>& waiters) {
        for (const auto& done : waiters) {
            if (done) done();
        }
    }
    void close_watches() {
        for (const auto& entry : std::exchange(*watches_, {})) {
            if (auto watch = entry.second.lock()) watch->close();
        }
    }
    void abandon_all() {
        stopping_ = true;
        close_watches();
    }

    std::shared_ptr<Link> link_;
    std::shared_ptr<Reaper> reaper_;
    Ongoing<EnsureBucket> operations_;
    const std::shared_ptr<Ongoing<WatchState>> watches_ = std::make_shared<Ongoing<WatchState>>();
    std::vector<std::function<void()>> stop_waiters_;
    bool stopping_ = false;
    bool stopped_ = false;
};

}  // namespace

std::shared_ptr<Link> link_of(Client& client) {
    auto* real = dynamic_cast<NatsClientImpl*>(&client);
    return real == nullptr ? nullptr : real->link();
}

Result<std::shared_ptr<NatsClient>> make_nats_client(boost::asio::io_context& io, __natsConnection* connection,
                                                     ClientOptions options, ClientHooks hooks) {
    if (connection == nullptr) return fail(Errc::internal, "no connection");
    if (options.watch_heartbeat < kHeartbeatMin) {
        return fail(Errc::internal,
                    "watch_heartbeat (" + std::to_string(options.watch_heartbeat.count()) + " ns) must be >= 100 ms");
    }
    auto link = Link::open(io, connection, std::move(options), std::move(hooks.lose_answer));
    if (!link) return tl::unexpected<Error>(std::move(link.error()));
    return std::make_shared<NatsClientImpl>(std::move(*link));
}

Result<std::shared_ptr<Client>> Client::make(boost::asio::io_context& io, __natsConnection* connection, ClientOptions options) {
    return make_nats_client(io, connection, std::move(options), {});
}

}  // namespace parti::jetstream
