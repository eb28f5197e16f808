#include "jetstream/outlet.h"

#include <mutex>

#include <nats/nats.h>

namespace parti::jetstream {

bool Outlet::publish(const char* subject, std::string_view body) {
    const std::shared_lock lock(mutex_);
    // Asked before, because nats.c may keep what is published while it reconnects and send it much later.
    if (connection_ == nullptr || natsConnection_Status(connection_) != NATS_CONN_STATUS_CONNECTED) return false;
    return natsConnection_Publish(connection_, subject, body.data(), static_cast<int>(body.size())) == NATS_OK;
}

void Outlet::close() {
    const std::unique_lock lock(mutex_);
    connection_ = nullptr;
}

}  // namespace parti::jetstream
