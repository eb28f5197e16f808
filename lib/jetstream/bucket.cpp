#include "jetstream/bucket.h"

#include <algorithm>

#include <boost/asio/post.hpp>

#include "jetstream/json.h"

namespace parti::jetstream {
namespace {

constexpr Duration kPauseMax = std::chrono::milliseconds(500);
constexpr Duration kRequestTimeoutMax = std::chrono::seconds(5);
// A server that is starting may not have JetStream up yet, nor the way to a server that has it.
constexpr Duration kNoRespondersFor = std::chrono::seconds(3);

constexpr int kOverlapsMax = 4;  // as often in a row it is not a race but somebody else's stream

const char* const kEnableJetStream = "JetStream is not enabled on the server (start it with: nats-server -js)";
const char* const kEnableForAccount =
    "JetStream is not enabled for this account (give the account jetstream in the server's configuration)";

Error explain(const ApiError& error, const std::string& bucket) {
    if (error.code == kApiNotEnabled) return {Errc::unsupported_server, kEnableJetStream};
    if (error.code == kApiNotEnabledForAccount) return {Errc::unsupported_server, kEnableForAccount};
    return to_error(error, "bucket " + bucket);
}

std::string join(const std::vector<std::string>& lines) {
    std::string text;
    for (const std::string& line : lines) text += (text.empty() ? "" : "; ") + line;
    return text;
}

}  // namespace

EnsureBucket::EnsureBucket(std::shared_ptr<Link> link, BucketSpec spec, Duration timeout, Handler handler)
    : link_(std::move(link)), spec_(std::move(spec)), stream_("KV_" + spec_.name), deadline_(Clock::now() + timeout),
      handler_(std::move(handler)), timer_(link_->io()) {}

void EnsureBucket::start() {
    boost::asio::post(link_->io(), [self = shared_from_this()] {
        if (!self->handler_) return;
        if (!valid_bucket_name(self->spec_.name)) {
            return self->finish(
                fail(Errc::invalid_config, "bucket \"" + self->spec_.name + "\": a name is 1 to 200 of A-Z a-z 0-9 _ -"));
        }
        const std::uint32_t replicas = self->spec_.replicas;
        if (replicas != 1 && replicas != 3 && replicas != 5) {
            return self->finish(fail(Errc::invalid_config, "replicas (" + std::to_string(replicas) + ") must be 1, 3 or 5"));
        }
        self->look();
    });
}

void EnsureBucket::abort() { finish(fail(Errc::stopping, "bucket " + spec_.name)); }

void EnsureBucket::ask(const std::string& subject, const std::string& body, Step next) {
    const Duration left = std::max<Duration>(deadline_ - Clock::now(), std::chrono::milliseconds(1));
    Link::Request request{subject, body, {}, std::min(left, request_timeout_), false};
    request_timeout_ = std::min(request_timeout_ * 2, kRequestTimeoutMax);
    link_->request(request, [self = shared_from_this(), next](Result<Message> answer) {
        if (self->handler_) ((*self).*next)(std::move(answer));
    });
}

void EnsureBucket::check_version() { ask("$JS.API.INFO", {}, &EnsureBucket::on_account_info); }

void EnsureBucket::on_account_info(Result<Message> answer) {
    if (!answer) return retry(answer.error());
    if (const auto error = api_error(payload(*answer))) return retry(explain(*error, spec_.name));
    if (parse_api_level(payload(*answer)) >= 1) {  // servers say it from 2.11 on
        version_checked_ = true;
        return look();
    }
    const Duration left = std::max<Duration>(deadline_ - Clock::now(), std::chrono::milliseconds(1));
    read_server_version(link_->io(), link_->connected_url(), std::min<Duration>(left, std::chrono::seconds(2)),
                        [self = shared_from_this()](Result<Version> version) { self->on_version(std::move(version)); });
}

void EnsureBucket::on_version(Result<Version> version) {
    if (!handler_) return;
    version_checked_ = true;
    if (!version) {
        link_->log(LogLevel::warning, "bucket " + spec_.name + ": replicas " + std::to_string(spec_.replicas) +
                                          " need nats-server >= 2.11 to be safe, and the server's version is not readable (" +
                                          version.error().message() + ")");
        return look();
    }
    const auto verdict = replicas_supported(spec_.replicas, *version);
    if (!verdict) return finish(tl::unexpected<Error>(verdict.error()));
    if (!verdict->empty()) link_->log(LogLevel::warning, "bucket " + spec_.name + ": " + *verdict);
    look();
}

void EnsureBucket::look() {
    if (spec_.replicas > 1 && !version_checked_) return check_version();
    ask("$JS.API.STREAM.INFO." + stream_, {}, &EnsureBucket::on_looked);
}

void EnsureBucket::on_looked(Result<Message> answer) {
    if (!answer) return retry(answer.error());
    const auto error = api_error(payload(*answer));
    if (!error) return accept(*answer);
    if (error->code != kApiStreamNotFound) return retry(explain(*error, spec_.name));
    if (!spec_.create) return finish(fail(Errc::not_found, "bucket " + spec_.name + " does not exist and is not to be created"));
    ask("$JS.API.STREAM.CREATE." + stream_, stream_config_json(spec_), &EnsureBucket::on_created);
}

void EnsureBucket::on_created(Result<Message> answer) {
    if (!answer) return retry(answer.error());
    const auto error = api_error(payload(*answer));
    if (!error) {
        created_ = true;
        return look();  // the answer to a creation does not tell the identity when two create at once
    }
    // Somebody was faster, with other settings: look at theirs.
    if (error->code == kApiStreamNameInUse) return retry(explain(*error, spec_.name));
    Error why = explain(*error, spec_.name);
    // The stream that overlaps may be this one, which another process is creating at this moment: then the next look finds it.
    if (error->code == kApiSubjectsOverlap && ++overlaps_ < kOverlapsMax) why.code = Errc::not_ready;
    if (why.code == Errc::not_ready) return retry(std::move(why));
    finish(tl::unexpected<Error>(std::move(why)));
}

void EnsureBucket::accept(const Message& answer) {
    const std::string_view bytes = payload(answer);
    const auto state = parse_stream_info(bytes);
    if (!state) return retry(state.error());
    const auto differences = contradictions(spec_, bytes);
    if (!differences.empty()) return finish(fail(Errc::bucket_mismatch, "bucket " + spec_.name + ": " + join(differences)));
    if (!state->has_leader) return retry({Errc::not_ready, "bucket " + spec_.name + ": the stream has no leader"});
    BucketInfo info;
    info.stream = stream_;
    info.created = state->created;
    info.last_sequence = state->last_sequence;
    info.payload_bytes_max = link_->payload_bytes_max();
    info.was_created = created_;
    finish(std::move(info));
}

void EnsureBucket::retry(Error why) {
    if (!is_no_responders(why)) {
        no_responders_since_.reset();
    } else if (!no_responders_since_) {
        no_responders_since_ = Clock::now();
    } else if (Clock::now() - *no_responders_since_ >= kNoRespondersFor) {
        why = {Errc::unsupported_server, kEnableJetStream};
    }
    const bool passes = why.code == Errc::not_ready || why.code == Errc::timeout || why.code == Errc::link_down ||
                        (why.code == Errc::bucket_mismatch);  // only from a lost race, see on_created
    if (!passes || Clock::now() + pause_ >= deadline_) return finish(tl::unexpected<Error>(std::move(why)));
    timer_.expires_after(pause_);
    pause_ = std::min(pause_ * 2, kPauseMax);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (!error && self->handler_) self->look();
    });
}

void EnsureBucket::finish(Result<BucketInfo> result) {
    auto handler = std::exchange(handler_, nullptr);
    if (!handler) return;
    timer_.cancel();
    handler(std::move(result));
}

}  // namespace parti::jetstream
