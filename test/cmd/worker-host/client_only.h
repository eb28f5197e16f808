// run_client_only: a nats.c connection and nothing of parti, for the account that workers are compared with.
//
// Errors    Exit codes as main.cpp's: 100 when it cannot connect, 102 when the parent is gone.
#pragma once

#include "options.h"

namespace parti::host {

int run_client_only(const Options& options);

}  // namespace parti::host
