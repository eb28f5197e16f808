// WorkerImpl: what stands behind a parti::Worker: keeps the context, ends the shell.
//
// Threads   Any; stop() and the destructor wait, unless they are called on a thread of the context.
// Lifetime  Shared by the Worker handle and by the consumers bound to it; the last one ends the worker.
#pragma once

#include <memory>

#include "runtime/context_impl.h"
#include "runtime/worker_shell.h"

namespace parti::runtime {

class WorkerImpl {
public:
    WorkerImpl(std::shared_ptr<ContextImpl> c, std::shared_ptr<WorkerShell> s) : context(std::move(c)), shell(std::move(s)) {}
    ~WorkerImpl();
    WorkerImpl(const WorkerImpl&) = delete;
    WorkerImpl& operator=(const WorkerImpl&) = delete;

    Result<void> stop();

    const std::shared_ptr<ContextImpl> context;
    const std::shared_ptr<WorkerShell> shell;
};

}  // namespace parti::runtime
