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

inline std::shared_ptr<Delivery> make_delivery(std::shared_ptr<Lane> lane, std::uint64_t sequence, std::uint64_t delivered = 1) {
    natsMsg* raw = nullptr;
    EXPECT_EQ(natsMsg_Create(&raw, "orders.eu", "$JS.ACK.s.c.1.1.1.1.0", "x", 1), NATS_OK);
    auto delivery = std::make_shared<Delivery>();
    delivery->raw.reset(raw);
    delivery->lane = std::move(lane);
    delivery->sequence = sequence;
    delivery->delivered = delivered;
    delivery->arrived = delivery->renewed = runtime::boot_now();
    return delivery;
}

}  // namespace parti::consume
