#include "testutil/load_generator.h"

#include <nats/nats.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <thread>

#include "testutil/worker_process.h"

namespace parti::test {
namespace {

constexpr std::size_t kPayloadMin = 48;  // two numbers of 20 digits and their blanks

template <class T, void (*Destroy)(T*)>
struct Destroyer {
    void operator()(T* object) const { Destroy(object); }
};
using Options = std::unique_ptr<natsOptions, Destroyer<natsOptions, natsOptions_Destroy>>;
using Connection = std::unique_ptr<natsConnection, Destroyer<natsConnection, natsConnection_Destroy>>;
using Subscription = std::unique_ptr<natsSubscription, Destroyer<natsSubscription, natsSubscription_Destroy>>;

std::int64_t quantile(std::vector<std::int64_t>& values, double q) {
    if (values.empty()) return 0;
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

Outcome<void> check_options(const LoadOptions& options) {
    if (auto ok = check_plan(options.plan); !ok) return ok;
    const std::size_t wanted = options.plan.partitions;
    if (options.partitions.size() != wanted || options.subjects.size() != wanted) {
        return failure("partitions (" + std::to_string(options.partitions.size()) + ") and subjects (" +
                       std::to_string(options.subjects.size()) + ") must be as many as the plan has (" + std::to_string(wanted) +
                       ")");
    }
    if (options.message_bytes < kPayloadMin) {
        return failure("message_bytes (" + std::to_string(options.message_bytes) + ") must be at least " +
                       std::to_string(kPayloadMin));
    }
    return {};
}

}  // namespace

std::string describe(const LoadReport& r) {
    const auto ms = [](std::int64_t ns) { return std::to_string(static_cast<double>(ns / 10'000) / 100).substr(0, 8); };
    std::string text = "due " + std::to_string(r.due) + ", sent " + std::to_string(r.sent) + ", dropped " +
                       std::to_string(r.dropped) + ", confirmed " + std::to_string(r.confirmed) + ", refused " +
                       std::to_string(r.refused) + ", unanswered " + std::to_string(r.unanswered) + "; lateness p50 " +
                       ms(r.late_p50_ns) + " p99 " + ms(r.late_p99_ns) + " max " + ms(r.late_max_ns) + " ms";
    if (!r.last_refusal.empty()) text += "; last refusal: " + r.last_refusal;
    return text;
}

std::string LoadReport::why_invalid(std::int64_t p99_at_most_ns) const {
    if (on_time(p99_at_most_ns)) return {};
    char text[160];
    if (dropped > 0) {
        std::snprintf(text, sizeof text, "the load generator dropped %llu of %llu messages",
                      static_cast<unsigned long long>(dropped), static_cast<unsigned long long>(due));
    } else {
        std::snprintf(text, sizeof text, "the load generator was late: p99 %.1f ms, at most %.0f ms is valid",
                      static_cast<double>(late_p99_ns) / 1e6, static_cast<double>(p99_at_most_ns) / 1e6);
    }
    return text;
}

std::optional<LoadPayload> parse_load_payload(std::string_view payload) {
    LoadPayload out;
    const char* end = payload.data() + payload.size();
    const auto first = std::from_chars(payload.data(), end, out.sequence);
    if (first.ec != std::errc() || first.ptr == end || *first.ptr != ' ') return std::nullopt;
    const auto second = std::from_chars(first.ptr + 1, end, out.intended_ns);
    if (second.ec != std::errc() || second.ptr == end || *second.ptr != ' ' || out.sequence == 0) return std::nullopt;
    return out;
}

struct LoadGenerator::Impl {
    struct Sent {
        std::uint32_t partition = 0;
        std::uint32_t index = 0;  // sequence - 1
    };

    LoadOptions options;
    LoadReport report;
    std::string inbox;
    std::vector<std::vector<PublishedMessage>> published;  // by the plan's partition

    std::mutex mutex;
    std::condition_variable changed;  // an answer, the end
    std::condition_variable pace;     // only `stopping`
    std::vector<Sent> sent;           // by the number in the reply subject
    std::vector<std::int64_t> lateness;
    std::uint64_t answered = 0;
    bool stopping = false, through = false, callbacks_over = false;
    std::atomic<std::uint64_t> sent_count{0}, confirmed_count{0};

    Connection connection;
    Subscription subscription;
    std::thread thread;

    ~Impl() {
        end_thread();
        if (!subscription) return;
        natsConnection_Close(connection.get());
        std::unique_lock lock(mutex);
        changed.wait(lock, [this] { return callbacks_over; });  // nats.c may be in the middle of one
    }

    void end_thread() {
        {
            const std::lock_guard lock(mutex);
            stopping = true;
        }
        pace.notify_all();
        if (thread.joinable()) thread.join();
    }

    Outcome<void> connect() {
        natsOptions* raw_options = nullptr;
        natsStatus status = natsOptions_Create(&raw_options);
        const Options nats(raw_options);
        if (status == NATS_OK) status = natsOptions_SetURL(nats.get(), options.url.c_str());
        if (status == NATS_OK) status = natsOptions_SetName(nats.get(), "load-generator");
        if (status == NATS_OK) status = natsOptions_SetMaxReconnect(nats.get(), -1);
        if (status == NATS_OK) status = natsOptions_SetReconnectWait(nats.get(), 20);
        if (status == NATS_OK) status = natsOptions_SetReconnectJitter(nats.get(), 10, 10);
        if (status == NATS_OK) status = natsOptions_SetSendAsap(nats.get(), options.send_asap);
        natsConnection* raw = nullptr;
        if (status == NATS_OK) status = natsConnection_Connect(&raw, nats.get());
        connection.reset(raw);
        if (status != NATS_OK) return failure("connect to " + options.url + ": " + natsStatus_GetText(status));
        natsInbox* name = nullptr;
        status = natsInbox_Create(&name);
        if (status != NATS_OK) return failure(std::string("natsInbox_Create: ") + natsStatus_GetText(status));
        inbox = std::string(name) + '.';
        natsInbox_Destroy(name);
        natsSubscription* sub = nullptr;
        status = natsConnection_Subscribe(&sub, connection.get(), (inbox + '*').c_str(), &Impl::on_answer, this);
        if (status == NATS_OK) status = natsSubscription_SetOnCompleteCB(sub, &Impl::on_complete, this);
        if (status == NATS_OK) subscription.reset(sub);
        if (status == NATS_OK) status = natsSubscription_SetPendingLimits(sub, -1, -1);
        if (status == NATS_OK) status = natsConnection_FlushTimeout(connection.get(), 5000);
        if (status != NATS_OK) return failure(std::string("subscribe to the acks: ") + natsStatus_GetText(status));
        return {};
    }

    static void on_answer(natsConnection*, natsSubscription*, natsMsg* message, void* closure) {
        static_cast<Impl*>(closure)->answer(message);
        natsMsg_Destroy(message);
    }

    static void on_complete(void* closure) {
        auto* self = static_cast<Impl*>(closure);
        const std::lock_guard lock(self->mutex);
        self->callbacks_over = true;
        self->changed.notify_all();
    }

    void answer(natsMsg* message) {
        const std::int64_t now = boot_now_ns();
        const std::string_view subject = natsMsg_GetSubject(message);
        const std::string_view body(natsMsg_GetData(message), static_cast<std::size_t>(natsMsg_GetDataLength(message)));
        std::size_t number = 0;
        const std::string_view digits = subject.substr(std::min(subject.size(), inbox.size()));
        if (std::from_chars(digits.data(), digits.data() + digits.size(), number).ec != std::errc()) return;
        // {"stream":"S", "seq":17} or {"error":{...},"stream":"S","seq":0}
        std::uint64_t sequence = 0;
        const auto key = body.find("\"seq\":");
        if (key != std::string_view::npos) {
            const char* digit = body.data() + key + 6;
            while (digit != body.data() + body.size() && *digit == ' ') ++digit;
            std::from_chars(digit, body.data() + body.size(), sequence);
        }
        const bool good = sequence != 0 && body.find("\"error\"") == std::string_view::npos;
        {
            const std::lock_guard lock(mutex);
            if (number >= sent.size()) return;
            ++answered;
            if (good) {
                PublishedMessage& m = published[sent[number].partition][sent[number].index];
                m.confirmed_ns = now;
                m.stream_sequence = sequence;
                confirmed_count.fetch_add(1, std::memory_order_relaxed);
            } else {
                ++report.refused;
                report.last_refusal = body.empty() ? "no stream answers (503)" : std::string(body.substr(0, 200));
            }
        }
        changed.notify_all();
    }

    void run() {
        LoadSchedule schedule(options.plan);
        while (const auto due = schedule.next()) {
            const std::int64_t intended = report.start_ns + due->offset_ns;
            if (!wait_until(intended)) break;
            publish(due->partition, intended);
        }
        const std::lock_guard lock(mutex);
        through = true;
        changed.notify_all();
    }

    // False: stop. The pause between two intended times is the plan's, not a guess.
    bool wait_until(std::int64_t t_ns) {
        std::unique_lock lock(mutex);
        while (!stopping) {
            const std::int64_t left = t_ns - boot_now_ns();
            if (left <= 0) return true;
            pace.wait_for(lock, std::chrono::nanoseconds(left), [this] { return stopping; });
        }
        return false;
    }
    void publish(std::uint32_t partition, std::int64_t intended) {
        std::string payload, reply;
        std::uint64_t number = 0;
        {
            const std::lock_guard lock(mutex);
            ++report.due;
            auto& messages = published[partition];
            if (sent.size() - answered >= options.pending_max) {
                ++report.dropped;
                return;
            }
            const std::int64_t now = boot_now_ns();
            lateness.push_back(now - intended);
            number = sent.size();
            sent.push_back({partition, static_cast<std::uint32_t>(messages.size())});
            messages.push_back({intended, now, 0, 0});
            payload = std::to_string(messages.size()) + ' ' + std::to_string(intended) + ' ';
            payload.resize(options.message_bytes, '.');
        }
        reply = inbox + std::to_string(number);
        const natsStatus status = natsConnection_PublishRequest(connection.get(), options.subjects[partition].c_str(),
                                                                reply.c_str(), payload.data(), static_cast<int>(payload.size()));
        if (status == NATS_OK) {
            sent_count.fetch_add(1, std::memory_order_relaxed);
            return;
        }
        const std::lock_guard lock(mutex);  // its sequence stays unused: nobody will ever answer for it
        ++report.dropped;
        ++answered;
        published[partition][sent[number].index].sent_ns = 0;
        report.last_refusal = natsStatus_GetText(status);
    }
};

LoadGenerator::LoadGenerator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LoadGenerator::LoadGenerator(LoadGenerator&&) noexcept = default;
LoadGenerator& LoadGenerator::operator=(LoadGenerator&&) noexcept = default;
LoadGenerator::~LoadGenerator() = default;

Outcome<LoadGenerator> LoadGenerator::start(LoadOptions options) {
    if (auto ok = check_options(options); !ok) return failure(ok.error());
    auto impl = std::make_unique<Impl>();
    impl->options = std::move(options);
    impl->published.resize(impl->options.plan.partitions);
    for (std::size_t i = 0; i < impl->published.size(); ++i) {
        const auto earlier = impl->options.published.find(impl->options.partitions[i]);
        if (earlier != impl->options.published.end()) impl->published[i] = std::move(earlier->second);
    }
    if (auto ok = impl->connect(); !ok) return failure(ok.error());
    impl->report.start_ns = boot_now_ns();
    impl->thread = std::thread([self = impl.get()] { self->run(); });
    return LoadGenerator(std::move(impl));
}

std::int64_t LoadGenerator::start_ns() const { return impl_->report.start_ns; }
std::uint64_t LoadGenerator::sent() const { return impl_->sent_count.load(); }
std::uint64_t LoadGenerator::confirmed() const { return impl_->confirmed_count.load(); }

bool LoadGenerator::wait_confirmed(std::uint64_t messages, std::chrono::milliseconds timeout) {
    std::unique_lock lock(impl_->mutex);
    return impl_->changed.wait_for(lock, timeout, [&] { return impl_->confirmed_count >= messages; });
}

bool LoadGenerator::wait_done(std::chrono::milliseconds timeout) {
    std::unique_lock lock(impl_->mutex);
    return impl_->changed.wait_for(lock, timeout, [&] { return impl_->through; });
}

void LoadGenerator::stop() {
    {
        const std::lock_guard lock(impl_->mutex);
        impl_->stopping = true;
    }
    impl_->pace.notify_all();
}

LoadReport LoadGenerator::finish(std::chrono::milliseconds acks_timeout) {
    Impl& impl = *impl_;
    std::unique_lock lock(impl.mutex);
    impl.changed.wait(lock, [&] { return impl.through; });
    impl.changed.wait_for(lock, acks_timeout, [&] { return impl.answered == impl.sent.size(); });
    LoadReport report = impl.report;
    report.sent = impl.sent_count;
    report.confirmed = impl.confirmed_count;
    report.unanswered = impl.sent.size() - impl.answered;
    std::vector<std::int64_t> late = impl.lateness;
    report.late_p50_ns = quantile(late, 0.5);
    report.late_p99_ns = quantile(late, 0.99);
    report.late_max_ns = quantile(late, 1);
    return report;
}

Published LoadGenerator::take_published() {
    const std::lock_guard lock(impl_->mutex);
    Published out = std::move(impl_->options.published);
    for (std::size_t i = 0; i < impl_->published.size(); ++i) out[impl_->options.partitions[i]] = impl_->published[i];
    return out;
}

}  // namespace parti::test
