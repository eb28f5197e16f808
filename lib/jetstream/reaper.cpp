#include "jetstream/reaper.h"

#include <utility>
#include <vector>

#include <boost/asio/post.hpp>

#include "jetstream/json.h"

namespace parti::jetstream {
namespace {

constexpr Duration kAnswerTimeout = std::chrono::seconds(2);
constexpr Duration kRetryPause = std::chrono::milliseconds(500);
constexpr Duration kPatience = std::chrono::seconds(30);  // the server removes it by itself long before (watch.cpp)

}  // namespace

Reaper::Reaper(std::shared_ptr<Link> link) : link_(std::move(link)), retry_(link_->io()), limit_(link_->io()) {}

void Reaper::retire(const std::string& stream, const std::string& consumer) {
    if (!retired_.emplace(consumer, Retired{stream, Clock::now() + kPatience}).second) return;
    ask(consumer);
}

void Reaper::ask(const std::string& consumer) {
    Retired& retired = retired_.at(consumer);
    if (retired.asked) return;
    retired.asked = true;
    Link::Request request{"$JS.API.CONSUMER.DELETE." + retired.stream + "." + consumer, {}, {}, kAnswerTimeout, true};
    link_->request(request, [weak = weak_from_this(), consumer](Result<Message> answer) {
        if (auto self = weak.lock()) self->answered(consumer, answer);
    });
}

void Reaper::answered(const std::string& consumer, const Result<Message>& answer) {
    const auto found = retired_.find(consumer);
    if (found == retired_.end()) return;
    found->second.asked = false;
    if (answer) {
        const auto error = api_error(payload(*answer));
        if (!error || error->code == kApiConsumerNotFound || error->code == kApiStreamNotFound) return gone(consumer);
    } else if (answer.error().code == Errc::stopping || (finishing_ && answer.error().code == Errc::link_down)) {
        return gone(consumer);
    }
    if (Clock::now() >= found->second.give_up_at) return gone(consumer);
    schedule();
}

void Reaper::gone(const std::string& consumer) {
    const auto found = retired_.find(consumer);
    retired_.erase(found);
    if (finishing_ && retired_.empty()) complete();
}

void Reaper::schedule() {
    if (retry_armed_) return;
    retry_armed_ = true;
    retry_.expires_after(kRetryPause);
    retry_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        auto self = weak.lock();
        if (error || !self) return;
        self->retry_armed_ = false;
        std::vector<std::string> names;
        for (const auto& entry : self->retired_) names.push_back(entry.first);
        for (const std::string& name : names) self->ask(name);
    });
}

void Reaper::finish(Duration limit, std::function<void()> done) {
    finishing_ = true;
    done_ = std::move(done);
    if (retired_.empty()) {
        boost::asio::post(link_->io(), [weak = weak_from_this()] {
            if (auto self = weak.lock()) self->complete();
        });
        return;
    }
    limit_.expires_after(limit);
    limit_.async_wait([weak = weak_from_this()](const boost::system::error_code& error) {
        auto self = weak.lock();
        if (error || !self) return;
        self->link_->log(LogLevel::warning,
                         std::to_string(self->retired_.size()) + " consumers could not be deleted before the stop");
        self->complete();
    });
}

void Reaper::complete() {
    retry_.cancel();
    limit_.cancel();
    auto done = std::exchange(done_, nullptr);
    if (done) done();
}

}  // namespace parti::jetstream
