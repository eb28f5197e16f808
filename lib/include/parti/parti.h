// Everything a user of parti needs; parti/nats.h (use an existing connection) is separate.
#pragma once

#include <parti/config.h>
#include <parti/consumer.h>
#include <parti/context.h>
#include <parti/control.h>
#include <parti/log.h>
#include <parti/metrics.h>
#include <parti/nats_sources.h>
#include <parti/result.h>
#include <parti/source.h>
#include <parti/strategy.h>
#include <parti/types.h>
#include <parti/worker.h>
