// Observer: what happens to the sessions and ownerships of a context, at the moment it happens. Internal: for histories that a
// checker judges (P-3), which need what the public callbacks do not tell: deadlines, and instants that do not wait for a callback
// thread.
//
// Threads   Called on the io thread, between two effects of a core; must be quick and must not call back into parti.
#pragma once

#include <memory>
#include <span>
#include <string>

#include <parti/context.h>

#include "core/io.h"

namespace parti::runtime {

struct SessionInfo {
    std::uint64_t worker = 0;  // counts Worker::make of this context, from 0
    WorkerNumber number;
    Incarnation incarnation;
    SessionId session;
};

struct Holding {
    std::uint64_t grant = 0;
    const Partition* partition = nullptr;
    Fence fence;
};

class Observer {
public:
    virtual ~Observer() = default;
    virtual void session_started(const SessionInfo& session, core::Instant deadline) = 0;
    virtual void lease_extended(const SessionInfo& session, core::Instant deadline) = 0;
    virtual void session_ended(const SessionInfo& session, const std::string& reason) = 0;
    virtual void granted(const SessionInfo& session, std::span<const Holding> gained) = 0;
    virtual void revoked(const SessionInfo& session, std::span<const Holding> lost) = 0;  // tokens are invalid from now on
    virtual void released(const SessionInfo& session,
                          std::span<const Holding> gone) = 0;  // the user has let go, or the drain is over
};

// Before the first worker of the context is started.
void set_observer(const Context& context, std::shared_ptr<Observer> observer);

// Requests to the server that wait for an answer; not on a thread of the context.
std::size_t requests_pending(const Context& context);

}  // namespace parti::runtime
