// partictl: watch and steer a group of parti workers; see `usage` in options.cpp.
#include <csignal>
#include <cstdio>
#include <string>

#include <parti/parti.h>

#include "options.h"
#include "render.h"

namespace {

using namespace parti::ctl;
using parti::Errc;

int exit_code(Errc code) {
    switch (code) {
        case Errc::invalid_argument:
        case Errc::invalid_config: return 2;
        case Errc::not_found: return 3;
        case Errc::timeout:
        case Errc::link_down:
        case Errc::permission:
        case Errc::not_ready: return 4;
        case Errc::malformed_record:
        case Errc::future_record: return 5;
        default: return 1;
    }
}

int complain(const parti::Error& error) {
    std::fprintf(stderr, "partictl: %s\n", error.message().c_str());
    return exit_code(error.code);
}

parti::Result<void> execute(const parti::Control& control, const Options& options) {
    if (options.command == "freeze") return control.freeze();
    if (options.command == "unfreeze") return control.unfreeze();
    if (options.command == "rebalance") return control.rebalance();
    if (options.command == "refresh") return control.refresh();
    if (options.command == "reset") return control.reset();
    if (options.command == "undrain") return control.undrain(options.name);
    if (options.command == "drain") {
        return control.drain(options.name, options.in_advance ? parti::DrainScope::in_advance : parti::DrainScope::present);
    }
    const auto status = control.status();
    if (!status) return tl::unexpected(status.error());
    const std::string text = options.json ? as_json(*status) : as_text(*status);
    if (std::fputs(text.c_str(), stdout) < 0 || std::fflush(stdout) != 0)
        return parti::fail(Errc::internal, "standard output cannot be written");
    return {};
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);
    const auto options = parse_options({argv + 1, argv + argc});
    if (!options) {
        std::fprintf(stderr, "partictl: %s\npartictl --help tells more\n", options.error().detail.c_str());
        return exit_code(options.error().code);
    }
    if (options->help) return std::fputs(usage, stdout) < 0 ? 1 : 0;
    auto context = parti::Context::connect(options->connect);
    if (!context) return complain(context.error());
    const auto control = parti::Control::open(*context, options->group, options->timeout);
    if (!control) return complain(control.error());
    const auto done = execute(*control, *options);
    return done ? 0 : complain(done.error());
}
