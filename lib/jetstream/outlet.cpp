#include "jetstream/outlet.h"

#include <cstdint>
#include <mutex>

#include <nats/nats.h>

namespace parti::jetstream {
namespace {

constexpr std::int64_t kFlushMs = 1;

}  // namespace

bool Outlet::publish(const char* subject, std::string_view body) {
    const std::shared_lock lock(mutex_);
    // Asked before, because nats.c may keep what is published while it reconnects and send it much later.
    if (connection_ == nullptr || natsConnection_Status(connection_) != NATS_CONN_STATUS_CONNECTED) return false;
    return natsConnection_Publish(connection_, subject, body.data(), static_cast<int>(body.size())) == NATS_OK;
}

void Outlet::flush() {
    owed_.store(false, std::memory_order_relaxed);  // before: what is owed meanwhile is paid by the next one
    const std::shared_lock lock(mutex_);
    if (connection_ != nullptr && natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED)
        natsConnection_FlushTimeout(connection_, kFlushMs);
}

void Outlet::close() {
    const std::unique_lock lock(mutex_);
    connection_ = nullptr;
}

}  // namespace parti::jetstream
