#include "testutil/sim_client.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "base/assert.h"
#include "testutil/sim_watch.h"

namespace parti::testutil {

using jetstream::BucketInfo;
using jetstream::BucketSpec;
using jetstream::EntryKind;
using jetstream::PutAnswer;
using jetstream::PutResult;
using jetstream::RawEntry;

namespace {

Error link_error() { return {Errc::link_down, "simulated link is down"}; }
Error timeout_error(const std::string& what) { return {Errc::timeout, "no answer to " + what}; }

}  // namespace

namespace sim_detail {

// One request and, once the server has acted, its answer.
struct Request {
    std::string what;
    std::string bucket;  // of a put, for a script that holds it
    std::string key;
    // Runs on the server, once; leaves in `answer` what is to be handed to the handler.
    std::function<void(Request&)> act;
    std::function<void(Request&, std::optional<Error>)> reply;  // an error: no answer came
    std::variant<std::monostate, PutAnswer, Result<RawEntry>, Result<BucketInfo>> answer;
    Nanos deadline = 0;
    std::uint64_t generation = 0;
    std::size_t slot = 0;
    bool finished = false;
};

}  // namespace sim_detail

using sim_detail::Link;
using sim_detail::raw_entry;
using sim_detail::Request;
using sim_detail::WatchState;

void SimNetwork::server_down() {
    if (!server_up_) return;
    server_up_ = false;
    for (SimClient* client : clients_) {
        if (client->connected_) client->link_changes(false);
    }
}

void SimNetwork::server_start() {
    if (server_up_) return;
    server_up_ = true;
    for (SimClient* client : clients_) {
        if (client->connected_) client->link_changes(true);
    }
}

void SimNetwork::let_go() {
    for (auto& arrive : std::exchange(held_, {})) scheduler.after(latency_min, SimScheduler::kWorld, std::move(arrive));
}

SimClient::SimClient(SimNetwork& network, SimScheduler::Lane lane, jetstream::ClientOptions options,
                     std::function<void(bool)> on_link)
    : network_(network), lane_(lane), options_(std::move(options)), on_link_(std::move(on_link)), link_(std::make_shared<Link>()),
      stats_(std::make_shared<jetstream::ClientStats>()) {
    link_->client = this;
    link_->up = network.server_up();
    network_.clients_.push_back(this);
}

SimClient::~SimClient() {
    link_->client = nullptr;
    link_->up = false;
    std::erase(network_.clients_, this);
    for (const auto& weak : watches_) {
        if (const auto state = weak.lock()) state->close();
    }
}

bool SimClient::link_up() const { return link_->up; }

void SimClient::link_changes(bool up) {
    link_->up = up;
    if (up) {
        ++link_->generation;
    } else {
        delete_consumers();
    }
    if (!on_link_) return;
    network_.scheduler.after(network_.latency(), lane_, [link = link_, generation = link_->generation, up] {
        if (link->client != nullptr && link->generation == generation && link->up == up) link->client->on_link_(up);
    });
}

void SimClient::disconnect() {
    if (!connected_) return;
    connected_ = false;
    if (network_.server_up()) link_changes(false);
}

void SimClient::connect() {
    if (connected_) return;
    connected_ = true;
    if (network_.server_up()) link_changes(true);
}

void SimClient::stall_watches(Nanos until) {
    for (const auto& weak : watches_) {
        if (const auto state = weak.lock()) state->last_delivery = std::max(state->last_delivery, until);
    }
}

std::size_t SimClient::delete_consumers() {
    std::size_t count = 0;
    for (const auto& weak : watches_) {
        const auto state = weak.lock();
        if (!state || !state->alive()) continue;
        state->consumer_dies("its consumer was deleted");
        ++count;
    }
    return count;
}

// ---- requests ---------------------------------------------------------------------------------------------------------------

void SimClient::finish(const std::shared_ptr<Request>& request) {
    if (request->finished) return;
    request->finished = true;
    pending_[request->slot] = nullptr;
    free_slots_.push_back(request->slot);
    stats_->pending_requests -= 1;
}

void SimClient::submit(std::shared_ptr<Request> request, Duration timeout) {
    ++stats_->requests;
    stats_->pending_requests += 1;
    if (free_slots_.empty()) {
        request->slot = pending_.size();
        pending_.push_back(request);
    } else {
        request->slot = free_slots_.back();
        free_slots_.pop_back();
        pending_[request->slot] = request;
    }
    SimScheduler& time = network_.scheduler;
    const auto give_up = [link = link_, request](Error error) {
        if (link->client == nullptr || request->finished) return;
        link->client->finish(request);
        request->reply(*request, std::move(error));
    };
    if (stopped_) {
        time.after(0, lane_, [give_up] { give_up({Errc::stopping, "the client was stopped"}); });
        return;
    }
    if (!link_->up) {
        time.after(50 * kMicro, lane_, [give_up] { give_up(link_error()); });
        return;
    }
    request->deadline = time.now() + timeout.count();
    request->generation = link_->generation;
    const auto times_out = [this, give_up](const std::shared_ptr<Request>& r) {
        network_.scheduler.at(r->deadline, lane_, [give_up, r] { give_up(timeout_error(r->what)); });
    };
    if (network_.draw(network_.rates.request_lost)) {
        ++network_.counts.requests_lost;
        times_out(request);
        return;
    }
    Nanos out = network_.latency();
    if (network_.draw(network_.rates.request_late)) {
        ++network_.counts.requests_late;
        out = network_.rng.between(network_.rates.late_min, network_.rates.late_max);
    }
    const auto arrive = [&network = network_, link = link_, lane = lane_, request] {
        // From here on the client may be gone; the server acts all the same.
        const auto times_out_later = [&] {
            network.scheduler.at(request->deadline, lane, [link, request] {
                if (link->client == nullptr || request->finished) return;
                link->client->finish(request);
                request->reply(*request, timeout_error(request->what));
            });
        };
        if (!network.server_up()) {
            times_out_later();
            return;
        }
        const bool refused = network.draw(network.rates.refused);
        if (refused) {
            ++network.counts.refused;
        } else {
            request->act(*request);
        }
        if (link->client == nullptr) return;
        bool lost = network.draw(network.rates.answer_lost);
        if (network.scheduler.now() < link->client->deaf_until_) lost = true;
        if (link->client->lose_answers_ > 0) {
            --link->client->lose_answers_;
            lost = true;
        }
        Nanos back = network.latency();
        if (!lost && network.draw(network.rates.answer_late)) {
            ++network.counts.answers_late;
            back = network.rng.between(network.rates.late_min, network.rates.late_max);
        }
        if (lost) ++network.counts.answers_lost;
        if (!link->up || link->generation != request->generation) lost = true;
        if (lost) {
            times_out_later();
            return;
        }
        const bool in_time = network.scheduler.now() + back < request->deadline;
        if (!in_time) {
            if (link->client != nullptr) ++link->client->stats_->answers_late;
            times_out_later();
            return;
        }
        network.scheduler.after(back, lane, [&network, link, lane, request, refused] {
            if (link->client == nullptr || request->finished) return;
            if (!link->up || link->generation != request->generation) {  // it was on the broken connection
                network.scheduler.at(request->deadline, lane, [link, request] {
                    if (link->client == nullptr || request->finished) return;
                    link->client->finish(request);
                    request->reply(*request, timeout_error(request->what));
                });
                return;
            }
            link->client->finish(request);
            ++link->client->stats_->answers;
            if (refused) {
                request->reply(*request, Error{Errc::not_ready, "JetStream system temporarily unavailable"});
            } else {
                request->reply(*request, std::nullopt);
            }
        });
    };
    if (network_.hold && !request->key.empty() && network_.hold(*this, request->bucket, request->key)) {
        network_.held_.emplace_back(arrive);
        times_out(request);
        return;
    }
    time.after(out, SimScheduler::kWorld, arrive);
}

void SimClient::ensure_bucket(const BucketSpec& spec, Duration timeout, std::function<void(Result<BucketInfo>)> handler) {
    auto request = std::make_shared<Request>();
    request->what = "ensure_bucket " + spec.name;
    request->act = [&network = network_, spec](Request& r) {
        const SimStore::Stream* stream = network.store.find(spec.name);
        bool created = false;
        if (stream == nullptr) {
            if (!spec.create) {
                r.answer = Result<BucketInfo>(fail(Errc::not_found, "bucket " + spec.name + " does not exist"));
                return;
            }
            created = network.store.create(spec.name, spec.storage, spec.replicas);
            stream = network.store.find(spec.name);
        }
        if (stream->replicas != spec.replicas || stream->storage != spec.storage) {
            const auto describe = [](Storage storage, std::uint32_t replicas) {
                return std::string(storage == Storage::file ? "file" : "memory") + " x " + std::to_string(replicas);
            };
            r.answer =
                Result<BucketInfo>(fail(Errc::bucket_mismatch, "bucket " + spec.name + " has storage x replicas " +
                                                                   describe(stream->storage, stream->replicas) + ", configured " +
                                                                   describe(spec.storage, spec.replicas)));
            return;
        }
        BucketInfo info;
        info.stream = "KV_" + spec.name;
        info.created = "simulated-" + std::to_string(stream->identity);
        info.last_sequence = stream->last_sequence;
        info.payload_bytes_max = network.payload_bytes_max;
        info.was_created = created;
        r.answer = Result<BucketInfo>(std::move(info));
    };
    request->reply = [handler = std::move(handler)](Request& r, std::optional<Error> error) {
        if (error) {
            handler(tl::unexpected<Error>(std::move(*error)));
        } else {
            handler(std::get<Result<BucketInfo>>(std::move(r.answer)));
        }
    };
    submit(std::move(request), timeout);
}

void SimClient::put(const std::string& bucket, const std::string& key, std::string_view bytes, std::uint64_t expected,
                    Duration timeout, std::function<void(PutAnswer)> handler) {
    auto request = std::make_shared<Request>();
    request->what = "put " + key;
    request->bucket = bucket;
    request->key = key;
    if (bytes.size() > network_.payload_bytes_max) {
        network_.scheduler.after(
            0, lane_, [handler = std::move(handler), size = bytes.size(), most = network_.payload_bytes_max] {
                PutAnswer answer;
                answer.error = {Errc::invalid_argument, "value of " + std::to_string(size) +
                                                            " bytes is above the server's limit of " + std::to_string(most)};
                handler(std::move(answer));
            });
        return;
    }
    request->act = [&network = network_, bucket, key, stored = std::make_shared<const std::string>(bytes), expected](Request& r) {
        PutAnswer answer;
        if (network.store.find(bucket) == nullptr) {
            answer.error = {Errc::not_found, "no stream for bucket " + bucket};
        } else {
            const auto outcome = network.store.put(bucket, key, stored, expected);
            answer.result = outcome.stored ? PutResult::done : PutResult::wrong_revision;
            answer.revision = outcome.revision;
            if (!outcome.stored) answer.error = {Errc::wrong_revision, {}};
        }
        r.answer = std::move(answer);
    };
    request->reply = [handler = std::move(handler)](Request& r, std::optional<Error> error) {
        if (error) {
            PutAnswer answer;
            answer.error = std::move(*error);
            handler(std::move(answer));
        } else {
            handler(std::get<PutAnswer>(std::move(r.answer)));
        }
    };
    submit(std::move(request), timeout);
}

void SimClient::get(const std::string& bucket, const std::string& key, Duration timeout,
                    std::function<void(Result<RawEntry>)> handler) {
    auto request = std::make_shared<Request>();
    request->what = "get " + key;
    request->act = [&network = network_, bucket, key](Request& r) {
        if (network.store.find(bucket) == nullptr) {
            r.answer = Result<RawEntry>(fail(Errc::not_found, "no stream for bucket " + bucket));
            return;
        }
        RawEntry entry;
        entry.key = key;
        if (const SimMessage* message = network.store.last(bucket, key)) entry = raw_entry(key, *message);
        r.answer = Result<RawEntry>(std::move(entry));
    };
    request->reply = [handler = std::move(handler)](Request& r, std::optional<Error> error) {
        if (error) {
            handler(tl::unexpected<Error>(std::move(*error)));
        } else {
            handler(std::get<Result<RawEntry>>(std::move(r.answer)));
        }
    };
    submit(std::move(request), timeout);
}

std::unique_ptr<jetstream::Watch> SimClient::watch(const std::string& bucket, const std::string& pattern,
                                                   jetstream::WatchHandlers handlers) {
    auto state = std::make_shared<WatchState>(network_, lane_, link_, options_.watch_heartbeat);
    state->stats = stats_;
    state->bucket = bucket;
    state->pattern = pattern;
    state->handlers = std::move(handlers);
    state->identity = state->handlers.known_identity;
    state->highest = state->handlers.known_revision;
    std::erase_if(watches_, [](const auto& weak) { return weak.expired(); });
    watches_.push_back(state);
    network_.scheduler.after(0, lane_, [state] { state->request_consumer(); });
    return sim_detail::watch_handle(std::move(state));
}

void SimClient::api(const std::string& subject, std::string_view, Duration, std::function<void(Result<std::string>)> handler) {
    network_.scheduler.after(0, lane_, [subject, handler = std::move(handler)] {
        handler(fail(Errc::unsupported_server, "the simulated server has no API request " + subject));
    });
}

void SimClient::stop(std::function<void()> done) {
    stopped_ = true;
    const auto pending = pending_;
    for (const auto& request : pending) {
        if (!request || request->finished) continue;
        network_.scheduler.after(0, lane_, [link = link_, request] {
            if (link->client == nullptr || request->finished) return;
            link->client->finish(request);
            request->reply(*request, Error{Errc::stopping, "the client was stopped"});
        });
    }
    for (const auto& weak : watches_) {
        if (const auto state = weak.lock()) state->close();
    }
    network_.scheduler.after(0, lane_, std::move(done));
}

jetstream::ClientStats SimClient::stats() const { return *stats_; }

}  // namespace parti::testutil
