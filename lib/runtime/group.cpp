#include "runtime/group.h"

#include <algorithm>
#include <utility>

#include "runtime/boot_clock.h"
#include "runtime/context_impl.h"
#include "wire/codec.h"

namespace parti::runtime {

namespace {

constexpr Duration kBackOffFirst = std::chrono::milliseconds(50);
constexpr Duration kBackOffMax = std::chrono::seconds(2);
// A lease with the longest names, a head, a record that names its chunks.
constexpr std::size_t kPayloadBytesMin = 1024;

const char* name_of(Storage storage) { return storage == Storage::file ? "file" : "memory"; }

HubShell shell_of(ContextImpl& context) {
    HubShell shell;
    shell.now = [&context] { return context.now(); };
    shell.defer = [poster = context.poster()](std::function<void()> function) { poster->post(std::move(function)); };
    shell.decode = [](Bucket bucket, const Key& key, std::string_view bytes) { return wire::decode(bucket, key, bytes); };
    shell.encode = [](const RecordValue& record) { return wire::encode(record); };
    shell.log = context.log_sink();
    return shell;
}

}  // namespace

Group::Group(ContextImpl& context, const Config& config)
    : context_(context), name_(config.group), storage_(config.storage), replicas_(config.replicas),
      create_(config.create_buckets != CreateBuckets::never), operation_timeout_(config.timing.operation_timeout),
      back_off_(kBackOffFirst), retry_(context.timers(), [this] { check(); }),
      hub_tick_(context.timers(), [this] { hub_->tick(); }) {}

Group::~Group() = default;

Result<void> Group::agrees_with(const Config& config) const {
    if (config.storage != storage_) {
        return fail(
            Errc::invalid_config,
            fmt::format("storage is {} but another worker of group '{}' in this process has {}; the group shares its buckets",
                        name_of(config.storage), name_, name_of(storage_)));
    }
    if (config.replicas != replicas_) {
        return fail(
            Errc::invalid_config,
            fmt::format("replicas is {} but another worker of group '{}' in this process has {}; the group shares its buckets",
                        config.replicas, name_, replicas_));
    }
    return {};
}

void Group::ensure(std::weak_ptr<BucketWaiter> waiter) {
    if (phase_ == Phase::ready) {
        if (const auto w = waiter.lock()) w->buckets_ready({});
        return;
    }
    waiters_.push_back(std::move(waiter));
    if (phase_ == Phase::idle) check();
}

bool Group::anyone_waits() {
    std::erase_if(waiters_, [](const std::weak_ptr<BucketWaiter>& weak) {
        const auto w = weak.lock();
        return w == nullptr || !w->waits_for_buckets();
    });
    return !waiters_.empty();
}

void Group::check() {
    if (!anyone_waits()) {
        phase_ = Phase::idle;
        return;
    }
    phase_ = Phase::checking;
    failed_ = false;
    outstanding_ = 2;
    for (const std::string& bucket : {lease_bucket_name(name_), assignment_bucket_name(name_)}) {
        jetstream::BucketSpec spec;
        spec.name = bucket;
        spec.storage = storage_;
        spec.replicas = replicas_;
        spec.create = create_;
        context_.client().ensure_bucket(spec, operation_timeout_,
                                        [weak = weak_from_this(), bucket](const Result<jetstream::BucketInfo>& result) {
                                            if (const auto self = weak.lock()) self->checked(bucket, result);
                                        });
    }
}

void Group::checked(const std::string& bucket, const Result<jetstream::BucketInfo>& answer) {
    const bool too_short = answer && answer->payload_bytes_max < kPayloadBytesMin;
    const Result<jetstream::BucketInfo> result =
        !too_short ? answer
                   : fail(Errc::unsupported_server,
                          fmt::format("the server takes messages of at most {} bytes (max_payload); parti needs {}",
                                      answer->payload_bytes_max, kPayloadBytesMin));
    if (!result) {
        // An error that will stay is the one to tell; among equals the first.
        const bool stays = reaction_to(result.error().code) != Reaction::retry;
        if (!failed_ || (stays && reaction_to(failure_.code) == Reaction::retry)) {
            failure_ = Error{result.error().code, "bucket '" + bucket + "': " + result.error().detail};
        }
        failed_ = true;
    } else if (result->was_created) {
        context_.log()->print(LogLevel::info, "created bucket '{}'", bucket);
    }
    if (--outstanding_ == 0) conclude();
}

void Group::conclude() {
    if (failed_ && reaction_to(failure_.code) == Reaction::retry) {
        last_error_ = failure_;
        phase_ = Phase::waiting;
        context_.log()->print(LogLevel::debug, "{}; trying again", failure_.message());
        retry_.set(boot_now() + back_off_);
        back_off_ = std::min(back_off_ * 2, kBackOffMax);
        return;
    }
    phase_ = failed_ ? Phase::idle : Phase::ready;
    back_off_ = kBackOffFirst;
    const Result<void> outcome = failed_ ? Result<void>(tl::unexpected(failure_)) : Result<void>();
    const auto waiters = std::exchange(waiters_, {});
    for (const auto& weak : waiters) {
        const auto w = weak.lock();
        if (w && w->waits_for_buckets()) w->buckets_ready(outcome);
    }
}

Hub& Group::hub() {
    if (!hub_) {
        HubShell shell = shell_of(context_);
        shell.wake = [this](core::Instant at) { hub_tick_.set(at); };
        shell.spec.storage = storage_;
        shell.spec.replicas = replicas_;
        hub_ = Hub::make(context_.client(), lease_bucket_name(name_), assignment_bucket_name(name_), std::move(shell));
    }
    return *hub_;
}

}  // namespace parti::runtime
