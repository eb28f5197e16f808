// ConsumerImpl in mode per_worker: many lanes behind one durable.
#include <algorithm>

#include "consume/consumer_impl.h"
#include "jetstream/json.h"

namespace parti::consume {

void ConsumerImpl::make_worker_feed() {
    const auto weak = weak_from_this();
    worker_flow_ = std::make_shared<Flow>([poster = poster_, weak] {
        post_to(poster, weak, [](ConsumerImpl& self) {
            if (self.worker_feed_) self.worker_feed_->refill();
        });
    });
    if (config_.max_ack_pending == 1) worker_flow_->one_at_a_time();
    // The feed lives no longer than this object, and calls only on the io thread.
    WorkerFeed::Handlers handlers;
    handlers.wanted = [this] {
        std::vector<std::string> subjects;
        for (const auto& entry : by_subject_) subjects.push_back(entry.first);
        return subjects;
    };
    handlers.session = [this]() -> std::shared_ptr<runtime::SessionTokens> {
        std::shared_ptr<runtime::SessionTokens> any;
        for (const auto& [grant, unit] : units_) {
            any = unit.state->session;
            if (!unit.draining) return any;
        }
        return any;
    };
    handlers.pause = [this](bool paused) {
        for (auto& [grant, unit] : units_) {
            if (!unit.lane) continue;
            if (paused) {
                unit.lane->pause();
            } else {
                unit.lane->resume();
            }
        }
    };
    handlers.busy = [this] {
        return std::any_of(units_.begin(), units_.end(),
                           [](const auto& entry) { return entry.second.lane && entry.second.lane->busy(); });
    };
    handlers.gone = [this] { let_go_of_lost(); };
    handlers.on_message = [weak](jetstream::Message message) {
        if (const auto self = weak.lock()) self->route(std::move(message));
    };
    handlers.on_trouble = [weak](Error error) {
        if (const auto self = weak.lock()) self->worker_->shell->report(std::move(error));
    };
    handlers.on_pending = [this](std::uint64_t pending) { worker_pending_ = pending; };
    worker_feed_ =
        std::make_shared<WorkerFeed>(link_, worker_->context->client(), shop_, worker_->shell->config().group, stream_created_,
                                     worker_->shell->config().timing.drain_timeout / 2, worker_flow_, std::move(handlers));
}

void ConsumerImpl::route(jetstream::Message message) {
    const auto at = by_subject_.find(jetstream::subject(message));
    if (at != by_subject_.end()) deliver(at->second, std::move(message));
}

void ConsumerImpl::let_go_of_lost() {
    for (auto at = units_.begin(); at != units_.end();) {
        Unit& unit = at->second;
        if (!unit.draining || (unit.lane && unit.lane->busy())) {
            ++at;
            continue;
        }
        if (unit.lane) unit.lane->pause();  // what waits came from a durable that is no more
        at = units_.erase(at);
    }
}

}  // namespace parti::consume
