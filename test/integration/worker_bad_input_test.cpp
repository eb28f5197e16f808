// Wrong configuration, servers that will not do, buckets and records that are not ours: an error that names the value and the
// rule, and nothing crashes, hangs or is overwritten.
#include <stdexcept>

#include "raw_nats.h"
#include "worker_fixture.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

class BadInput : public WorkerTest {
protected:
    // Starts a worker that must end with an error, which on_error and last_error() tell as well.
    Error fatal_error_of(const Config& c, const std::shared_ptr<Source>& list) {
        Context context = connect();
        Worker w = worker(context, list, c);
        w.start();
        const auto waited = w.wait_for(State::stable, 20s);
        if (waited) {
            ADD_FAILURE() << "the worker is Stable";
            return {};
        }
        EXPECT_EQ(w.state(), State::stopped);
        EXPECT_TRUE(w.last_error().has_value());
        EXPECT_TRUE(eventually([&] { return !notes_.errors().empty(); }));
        EXPECT_TRUE(w.stop());
        return waited.error();
    }
    static bool names(const Error& error, const std::string& part) { return error.detail.find(part) != std::string::npos; }
    bool reported(Errc code) const {
        return eventually([&] {
            for (const Error& e : notes_.errors()) {
                if (e.code == code) return true;
            }
            return false;
        });
    }
    RawNats raw() {
        auto connection = RawNats::connect(server_->url());
        if (!connection) throw std::runtime_error(connection.error());
        return std::move(*connection);
    }
    // Both buckets as parti makes them.
    void make_buckets() {
        Context context = connect();
        Worker w = worker(context, source(1));
        w.start();
        ASSERT_TRUE(w.wait_for(State::stable, 20s));
        ASSERT_TRUE(w.stop());
    }
};

TEST_F(BadInput, AnUnreachableServerIsNamed) {
    ConnectOptions options;
    options.urls = {"nats://user:secret@127.0.0.1:1"};
    const auto context = Context::connect(options);
    ASSERT_FALSE(context);
    EXPECT_EQ(context.error().code, Errc::link_down);
    EXPECT_TRUE(names(context.error(), "127.0.0.1:1")) << context.error().message();
    EXPECT_FALSE(names(context.error(), "secret"));
}

TEST_F(BadInput, ConnectOptionsThatContradictEachOther) {
    ConnectOptions options;
    options.urls = {server_->url()};
    options.user = "u";
    options.password = "p";
    options.token = "t";
    const auto context = Context::connect(options);
    ASSERT_FALSE(context);
    EXPECT_EQ(context.error().code, Errc::invalid_config);
}

TEST_F(BadInput, AFileThatIsNotThereIsNamed) {
    for (std::string ConnectOptions::*member : {&ConnectOptions::credentials_file, &ConnectOptions::tls_ca_file}) {
        ConnectOptions options;
        options.urls = {server_->url()};
        options.*member = "/nowhere/at/all.pem";
        const auto context = Context::connect(options);
        ASSERT_FALSE(context);
        EXPECT_EQ(context.error().code, Errc::invalid_config);
        EXPECT_TRUE(names(context.error(), "/nowhere/at/all.pem")) << context.error().message();
    }
}

TEST_F(BadInput, AWorkerNeedsAValidConfigurationAndASource) {
    Context context = connect();
    const auto no_source = Worker::make(context, config(), nullptr);
    ASSERT_FALSE(no_source);
    EXPECT_EQ(no_source.error().code, Errc::invalid_config);
    EXPECT_TRUE(names(no_source.error(), "source"));
    Config c = config();
    c.number_min = 5;
    c.number_max = 4;
    const auto no_sense = Worker::make(context, config(), source(1), sticky({.epsilon = -1}));
    ASSERT_FALSE(no_sense);
    EXPECT_EQ(no_sense.error().code, Errc::invalid_config);
    EXPECT_TRUE(names(no_sense.error(), "epsilon (-1)")) << no_sense.error().message();

    const auto no_numbers = Worker::make(context, c, source(1));
    ASSERT_FALSE(no_numbers);
    EXPECT_TRUE(names(no_numbers.error(), "number_min")) << no_numbers.error().message();
    EXPECT_TRUE(names(no_numbers.error(), "5"));
}

TEST_F(BadInput, AServerWithoutJetStream) {
    NatsServerOptions options;
    options.jetstream = false;
    serve(options);
    const Error error = fatal_error_of(config(), source(1));
    EXPECT_EQ(error.code, Errc::unsupported_server) << error.message();
    EXPECT_TRUE(names(error, "JetStream")) << error.message();
    ASSERT_TRUE(server_->stop());  // its monitor has no page about JetStream
    server_.reset();
}

TEST_F(BadInput, ABucketWithOtherLimitsIsNamedAndLeftAlone) {
    RawNats nats = raw();
    const json foreign = {{"name", "KV_parti_g_lease"}, {"subjects", {"$KV.parti_g_lease.>"}},
                          {"max_msgs_per_subject", 5},  {"max_age", 60'000'000'000},
                          {"storage", "memory"},        {"allow_rollup_hdrs", true},
                          {"discard", "new"},           {"retention", "limits"}};
    ASSERT_TRUE(nats.api("STREAM.CREATE.KV_parti_g_lease", foreign));
    const auto before = nats.api("STREAM.INFO.KV_parti_g_lease");
    ASSERT_TRUE(before);
    const Error error = fatal_error_of(config(), source(1));
    EXPECT_EQ(error.code, Errc::bucket_mismatch) << error.message();
    EXPECT_TRUE(names(error, "parti_g_lease")) << error.message();
    EXPECT_TRUE(names(error, "5") && names(error, "1")) << error.message();
    const auto after = nats.api("STREAM.INFO.KV_parti_g_lease");
    ASSERT_TRUE(after);
    EXPECT_EQ(before->at("config"), after->at("config"));
    EXPECT_EQ(before->at("created"), after->at("created"));
}

TEST_F(BadInput, BucketsThatMayNotBeCreated) {
    Config c = config();
    c.create_buckets = CreateBuckets::never;
    const Error error = fatal_error_of(c, source(1));
    EXPECT_EQ(error.code, Errc::not_found) << error.message();
    EXPECT_TRUE(names(error, "parti_g_")) << error.message();
}

TEST_F(BadInput, ReplicasThatTheServerCannotKeepSafely) {
    Config c = config();
    c.replicas = 3;
    const Error error = fatal_error_of(c, source(1));
    EXPECT_EQ(error.code, Errc::unsupported_server) << error.message();
    // Before 2.11 the library refuses and names the value; from then on it would be safe, and a server without a cluster refuses
    // itself.
    const bool refused_by_us = server_->version().rfind("2.9.", 0) == 0 || server_->version().rfind("2.10.", 0) == 0;
    EXPECT_TRUE(names(error, refused_by_us ? "3" : "replicas > 1 not supported")) << error.message();
}

TEST_F(BadInput, TwoWorkersOfAProcessThatDisagreeAboutTheirBuckets) {
    Context context = connect();
    Worker first = worker(context, source(1));
    first.start();
    ASSERT_TRUE(first.wait_for(State::stable, 20s));
    Config other = config();
    other.storage = Storage::memory;
    Worker second = worker(context, source(1), other);
    second.start();
    const auto waited = second.wait_for(State::stable, 20s);
    ASSERT_FALSE(waited);
    EXPECT_EQ(waited.error().code, Errc::invalid_config);
    EXPECT_TRUE(names(waited.error(), "memory") && names(waited.error(), "file")) << waited.error().message();
    EXPECT_EQ(first.state(), State::stable);
}

TEST_F(BadInput, RecordsThatAreNotOursAreReportedAndLeftAlone) {
    make_buckets();
    RawNats nats = raw();
    ASSERT_TRUE(nats.put("parti_g_lease", "worker.3", "{\"v\":1,\"incarnation\":\"many\"}"));
    ASSERT_TRUE(nats.put("parti_g_lease", "worker.4", std::string("\0\xff\xfe rubbish", 12)));
    ASSERT_TRUE(nats.put("parti_g_lease", "README", "not a worker"));
    ASSERT_TRUE(nats.put("parti_g_lease", "worker.007", "{}"));
    ASSERT_TRUE(nats.put("parti_g_assignment", "control", "[1,2,3]"));
    std::vector<std::string> before;
    const std::vector<std::pair<std::string, std::string>> keys = {{"parti_g_lease", "worker.3"},
                                                                   {"parti_g_lease", "worker.4"},
                                                                   {"parti_g_lease", "README"},
                                                                   {"parti_g_lease", "worker.007"},
                                                                   {"parti_g_assignment", "control"}};
    for (const auto& key : keys) before.push_back(*nats.get(key.first, key.second));
    Context context = connect();
    Worker a = worker(context, source(6));
    Worker b = worker(context, source(6));
    a.start();
    b.start();
    ASSERT_TRUE(eventually([&] { return covered({&a, &b}, 6) && loads({&a, &b}) == std::vector<std::size_t>{3, 3}; }));
    EXPECT_TRUE(reported(Errc::malformed_record));
    EXPECT_GE(a.stats().malformed_records + b.stats().malformed_records, 2U);
    EXPECT_NE(a.number(), WorkerNumber{3});
    EXPECT_NE(b.number(), WorkerNumber{4});
    EXPECT_TRUE(a.stop());
    EXPECT_TRUE(b.stop());
    for (std::size_t i = 0; i < keys.size(); ++i)
        EXPECT_EQ(before[i], *nats.get(keys[i].first, keys[i].second)) << keys[i].second;
}

TEST_F(BadInput, AHeadOfANewerMajorVersionIsNotOverwritten) {
    make_buckets();
    RawNats nats = raw();
    ASSERT_TRUE(nats.put("parti_g_assignment", "head", "{\"v\":99,\"epoch\":1}"));
    const std::string before = *nats.get("parti_g_assignment", "head");
    Context context = connect();
    Worker w = worker(context, source(6));
    w.start();
    EXPECT_TRUE(reported(Errc::future_record)) << notes_.text();
    const auto renewals = w.stats().renewals;
    EXPECT_TRUE(eventually([&] { return w.stats().renewals > renewals + 3 || w.state() == State::stopped; }));
    EXPECT_FALSE(w.is_leader());
    EXPECT_TRUE(w.assignment().empty());
    EXPECT_TRUE(w.stop());
    EXPECT_EQ(before, *nats.get("parti_g_assignment", "head"));
}

TEST_F(BadInput, ASourceThatFailsIsAskedAgainUntilTheStartupTimeout) {
    Config c = config();
    c.timing.startup_timeout = 700ms;
    std::atomic<int> asked{0};
    const auto failing = function_source([&]() -> Result<std::vector<Partition>> {
        ++asked;
        throw std::runtime_error("no database");
    });
    const Error error = fatal_error_of(c, failing);
    EXPECT_EQ(error.code, Errc::timeout);
    EXPECT_TRUE(names(error, "startup_timeout (700 ms)") && names(error, "no database")) << error.message();
    EXPECT_GE(asked, 3);
    EXPECT_TRUE(reported(Errc::callback_failed));
}

TEST_F(BadInput, ASourceThatRecoversIsEnough) {
    std::atomic<int> asked{0};
    const auto late = function_source([&]() -> Result<std::vector<Partition>> {
        if (++asked < 3) return fail(Errc::not_ready, "later");
        return std::vector<Partition>{*Partition::from_id("a")};
    });
    Context context = connect();
    Worker w = worker(context, late);
    w.start();
    EXPECT_TRUE(eventually([&] { return covered({&w}, 1); }));
    EXPECT_TRUE(reported(Errc::not_ready));
}

// Its list is fine; what it tells later is in no order, or names a partition twice, which two workers would own.
TEST_F(BadInput, ASetThatASourceTellsIsCheckedLikeOneThatItLists) {
    class Teller final : public Source {
    public:
        Result<std::shared_ptr<const PartitionSet>> list() override { return set({"p.1", "p.2"}); }
        std::shared_ptr<void> listen(Listener listener) override {
            listener_ = std::move(listener);
            return std::make_shared<int>(0);
        }
        void tell(const std::vector<std::string>& ids) { listener_(set(ids)); }

    private:
        static std::shared_ptr<const PartitionSet> set(const std::vector<std::string>& ids) {
            PartitionSet out;
            for (const std::string& id : ids) out.push_back(*Partition::from_id(id));
            return std::make_shared<const PartitionSet>(std::move(out));
        }
        Listener listener_;
    };
    const auto teller = std::make_shared<Teller>();
    Context context = connect();
    Worker a = worker(context, teller);
    a.start();
    ASSERT_TRUE(eventually([&] { return covered({&a}, 2); })) << notes_.text();
    teller->tell({"p.3", "p.1", "p.2"});
    EXPECT_TRUE(eventually([&] { return covered({&a}, 3); })) << notes_.text();
    teller->tell({"p.1", "p.1", "p.4"});
    EXPECT_TRUE(eventually([&] { return !notes_.errors().empty(); })) << notes_.text();
    EXPECT_EQ(notes_.errors().at(0).code, Errc::invalid_argument);
    teller->tell({"p.1"});
    EXPECT_TRUE(eventually([&] { return covered({&a}, 1); })) << notes_.text();
}

TEST_F(BadInput, ASetThatIsSortedAndTooLargeIsRefused) {
    class Large final : public Source {
    public:
        Large() {
            const std::string filler(900, 'x');
            PartitionSet set;
            for (std::size_t i = 0; i < 1 + kPartitionBytesMax / 900; ++i)
                set.push_back(*Partition::from_id("p" + std::to_string(100'000 + i) + "." + filler));
            set_ = std::make_shared<const PartitionSet>(std::move(set));
        }
        Result<std::shared_ptr<const PartitionSet>> list() override { return set_; }
        std::shared_ptr<void> listen(Listener) override { return nullptr; }

    private:
        std::shared_ptr<const PartitionSet> set_;
    };
    Context context = connect();
    Worker w = worker(context, std::make_shared<Large>());
    w.start();
    ASSERT_TRUE(reported(Errc::invalid_argument)) << notes_.text();
    EXPECT_TRUE(names(notes_.errors().at(0), std::to_string(kPartitionBytesMax))) << notes_.text();
    EXPECT_NE(w.state(), State::stable);
    EXPECT_TRUE(w.stop());
}

TEST_F(BadInput, ASourceWhoseListenThrowsIsReportedAndListed) {
    class Deaf final : public Source {
    public:
        explicit Deaf(std::shared_ptr<Source> inner) : inner_(std::move(inner)) {}
        Result<std::shared_ptr<const PartitionSet>> list() override { return inner_->list(); }
        std::shared_ptr<void> listen(Listener) override { throw std::runtime_error("no ears"); }

    private:
        const std::shared_ptr<Source> inner_;
    };
    Context context = connect();
    Worker w = worker(context, std::make_shared<Deaf>(source(3)));
    w.start();
    EXPECT_TRUE(eventually([&] { return covered({&w}, 3); }));
    EXPECT_TRUE(reported(Errc::callback_failed));
    EXPECT_TRUE(names(notes_.errors().at(0), "listen() threw: no ears")) << notes_.text();
}

TEST_F(BadInput, AStrategyThatThrowsIsRefused) {
    class Thrower final : public Strategy {
    public:
        explicit Thrower(int what) : what_(what) {}
        std::vector<std::int32_t> assign(const StrategyInput&) const override { return {}; }
        std::string_view name() const override { return what_ == 0 ? throw std::runtime_error("no name") : "thrower"; }
        Result<void> validate() const override { return what_ == 1 ? throw std::runtime_error("no rules") : Result<void>(); }
        bool works_in_steps() const override { return what_ == 2 ? throw std::runtime_error("no steps") : false; }

    private:
        int what_;
    };
    Context context = connect();
    for (const auto& [what, says] : {std::pair{0, "no name"}, {1, "no rules"}, {2, "no steps"}}) {
        const auto made = Worker::make(context, config(), source(1), std::make_shared<Thrower>(what));
        ASSERT_FALSE(made) << says;
        EXPECT_EQ(made.error().code, Errc::callback_failed);
        EXPECT_TRUE(names(made.error(), says)) << made.error().message();
    }
}

TEST_F(BadInput, ExtremesOfTimeAreTakenForWhatTheyMean) {
    Context context = connect();
    Config c = config();
    c.timing.drain_timeout = Duration::zero();
    Worker w = worker(context, source(1), c);
    w.start();
    EXPECT_TRUE(w.wait_for(State::stable, Duration::max()));
    const auto past = w.wait_for(State::claiming_id, Duration::min());
    ASSERT_FALSE(past);
    EXPECT_EQ(past.error().code, Errc::timeout);
}

TEST_F(BadInput, AServerThatStaysAwayEndsTheStart) {
    Config c = config();
    c.timing.startup_timeout = 500ms;
    Context context = connect();
    ASSERT_TRUE(server_->kill());
    Worker w = worker(context, source(1), c);
    w.start();
    const auto waited = w.wait_for(State::stable, 20s);
    ASSERT_FALSE(waited);
    EXPECT_EQ(waited.error().code, Errc::timeout);
    EXPECT_TRUE(names(waited.error(), "startup_timeout (500 ms)") && names(waited.error(), "not connected"))
        << waited.error().message();
    ASSERT_TRUE(server_->restart());
}

}  // namespace
}  // namespace parti::test
