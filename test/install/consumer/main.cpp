// Uses one thing of every public header, so that all layers are linked; needs no server.
#include <cstdio>
#include <string>

#include <parti/nats.h>
#include <parti/parti.h>

namespace {

int refused(const char* what) {
    std::fprintf(stderr, "consumer: %s\n", what);
    return 1;
}

}  // namespace

int main() {
    parti::Config config;
    if (config.validate()) return refused("a config without a group was accepted");
    auto parsed = parti::Config::from_json(R"({"group":"orders","timing":{"ttl":"6s"}})");
    if (!parsed) return refused(parsed.error().message().c_str());

    auto partition = parti::Partition::make({"orders", "eu", "42"});
    if (!partition) return refused(partition.error().message().c_str());
    auto source = parti::StaticSource::make({*partition});
    if (!source) return refused(source.error().message().c_str());
    if (parti::sticky()->name().empty() || parti::round_robin()->name().empty() || parti::consistent_hash()->name().empty()) {
        return refused("a strategy without a name");
    }
    if (parti::metrics_text({}).find("# EOF") == std::string::npos) return refused("metrics without an end");
    if (parti::use_connection(nullptr)) return refused("a null connection was accepted");

    // Port 1 on loopback: nobody listens there, so the attempt is refused at once.
    auto context = parti::Context::connect({.urls = {"nats://127.0.0.1:1"}});
    if (context) {
        auto worker = parti::Worker::make(*context, *parsed, *source);
        auto control = parti::Control::open(*context, "orders");
        return refused("connected to a port without a server");
    }
    std::printf("parti::parti works: %s\n", std::string(parti::name(context.error().code)).c_str());
    return 0;
}
