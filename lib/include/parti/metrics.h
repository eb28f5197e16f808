// metrics_text: the workers' and the consumers' statistics as OpenMetrics text, which Prometheus scrapes.
//
// Model     Pull only: nothing is counted for it that Worker::stats() and Consumer::stats() do not have. Families are named
//           parti_*, each with TYPE and HELP.
//           Every series carries `group` and `slot` (the worker's place in the list given, unique within the text);
//           parti_worker_info tells which worker id holds a slot now. Families named parti_group_* come from a worker that leads
//           only. Families named parti_consumer_* carry `stream` too; their slot is the consumer's place in its own list.
//           Serve it as "application/openmetrics-text; version=1.0.0; charset=utf-8".
// Units     Seconds.
// Threads   Any; takes each worker's short view lock once, and asks each consumer's io thread. Do not destroy a worker or a
//           consumer of the lists meanwhile, and let no pointer be null.
// Cost      About 6 kB of text a worker, 2 kB a consumer.
#pragma once

#include <span>
#include <string>

#include <parti/consumer.h>
#include <parti/worker.h>

namespace parti {

std::string metrics_text(std::span<const Worker* const> workers);
std::string metrics_text(std::span<const Worker* const> workers, std::span<const Consumer* const> consumers);

}  // namespace parti
