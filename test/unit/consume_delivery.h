// make_delivery: a message of partition orders.eu, as a lane gets it from the feed.
//
// Role      Tests of lanes and runners, without a server. nats.c must be open.
// Errors    Without memory for the message the delivery has none, and the test has failed.
#pragma once

#include <gtest/gtest.h>
#include <nats/nats.h>

#include <memory>
#include <utility>

#include "consume/lane.h"

namespace parti::consume {

inline jetstream::Message message_with_reply(const char* reply) {
    natsMsg* raw = nullptr;
    EXPECT_EQ(natsMsg_Create(&raw, "orders.eu", reply, "x", 1), NATS_OK);
    return jetstream::Message(raw);
}

inline std::shared_ptr<Delivery> make_delivery(std::shared_ptr<Lane> lane, std::uint64_t sequence, std::uint64_t delivered = 1) {
    auto delivery = std::make_shared<Delivery>();
    delivery->raw = message_with_reply("$JS.ACK.s.c.1.1.1.1.0");
    delivery->lane = std::move(lane);
    delivery->sequence = sequence;
    delivery->delivered = delivered;
    delivery->arrived = delivery->renewed = runtime::boot_now();
    return delivery;
}

}  // namespace parti::consume
