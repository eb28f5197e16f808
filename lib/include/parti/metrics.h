// metrics_text: the workers' statistics as OpenMetrics text, which Prometheus scrapes.
//
// Model     Pull only: nothing is counted for it that Worker::stats() does not have. Families are named parti_*, each with TYPE and HELP.
//           Every series carries `group` and `slot` (the worker's place in the list given, unique within the text); parti_worker_info
//           tells which worker id holds a slot now. Families named parti_group_* come from a worker that leads only.
//           Serve it as "application/openmetrics-text; version=1.0.0; charset=utf-8".
// Units     Seconds.
// Threads   Any; takes each worker's short view lock once. Do not destroy a worker of the list meanwhile.
// Cost      About 6 kB of text a worker.
#pragma once

#include <span>
#include <string>

#include <parti/worker.h>

namespace parti {

std::string metrics_text(std::span<const Worker* const> workers);

}  // namespace parti
