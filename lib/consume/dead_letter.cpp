// ConsumerImpl's way of poison: stored under the dead-letter subject first, terminated then.
#include <algorithm>

#include "consume/consumer_impl.h"
#include "jetstream/json.h"

namespace parti::consume {
namespace {

constexpr Duration kPublishTimeout = std::chrono::seconds(5);

}  // namespace

void ConsumerImpl::dead_letter(const std::shared_ptr<Delivery>& delivery, const std::string& why) {
    // Asked again: the process may have been stopped since the lane asked. It comes again, to whoever owns the partition then.
    if (!delivery->lane->exclusive()) return delivery->abandon();
    const Partition& partition = delivery->lane->ownership().partition();
    const auto subject = dead_letter_->render(partition);
    if (!subject) return dead_lettered(delivery, tl::unexpected<Error>(subject.error()));
    Message message(delivery);
    const std::string sequence = std::to_string(delivery->sequence);
    jetstream::Link::Request request{*subject, message.payload(), {}, kPublishTimeout, false, {}};
    for (auto& [name, value] : message.headers()) {
        if (name.rfind("Nats-", 0) != 0) request.headers.emplace_back(name, value);
    }
    std::string reason = why;
    std::replace_if(
        reason.begin(), reason.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
    request.headers.emplace_back("Parti-Reason", reason.substr(0, 1024));
    request.headers.emplace_back("Parti-Stream", config_.stream);
    request.headers.emplace_back("Parti-Subject", std::string(message.subject()));
    request.headers.emplace_back("Parti-Sequence", sequence);
    request.headers.emplace_back("Parti-Delivered", std::to_string(delivery->delivered));
    request.headers.emplace_back("Parti-Partition", partition.id());
    // The same message may be dead-lettered by two owners; the stream keeps one of them within its duplicate window.
    request.headers.emplace_back("Nats-Msg-Id", "parti-dead-" + config_.prefix + "-" + config_.stream + "-" + sequence);
    link_->request(request, [weak = weak_from_this(), delivery](Result<jetstream::Message> answer) {
        const auto self = weak.lock();
        if (!self) return;
        if (!answer) return self->dead_lettered(delivery, tl::unexpected<Error>(answer.error()));
        if (const auto error = jetstream::api_error(jetstream::payload(*answer)))
            return self->dead_lettered(delivery, tl::unexpected<Error>(jetstream::to_error(*error, "the dead-letter subject")));
        self->dead_lettered(delivery, {});
    });
}

void ConsumerImpl::dead_lettered(const std::shared_ptr<Delivery>& delivery, const Result<void>& stored) {
    const std::string what =
        "partition '" + delivery->lane->ownership().partition().id() + "', message " + std::to_string(delivery->sequence);
    if (stored) {
        shop_->counters->dead_lettered.fetch_add(1, std::memory_order_relaxed);
        static_cast<void>(delivery->term());
        worker_->shell->report({Errc::callback_failed, what + ": delivered " + std::to_string(delivery->delivered) +
                                                           " times without success; stored under dead_letter_subject"});
        return;
    }
    worker_->shell->report(
        {stored.error().code, what + " could not be stored under dead_letter_subject ('" + config_.dead_letter_subject +
                                  "'; a stream must listen to it), and is tried again: " + stored.error().detail});
    static_cast<void>(delivery->nak(config_.retry_max));
}

}  // namespace parti::consume
