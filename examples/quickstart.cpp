#include <iostream>

#include <parti/parti.h>

int main() try {
    auto context = parti::Context::connect({.urls = {"nats://127.0.0.1:4222"}}).value();
    const auto eu = parti::Partition::make({"orders", "eu"}).value();
    const auto us = parti::Partition::make({"orders", "us"}).value();
    auto source = parti::StaticSource::make({eu, us}).value();
    parti::Callbacks callbacks;
    callbacks.on_assigned = [](auto gained) {
        for (const auto& ownership : gained) std::cout << "start " << ownership.partition().id() << std::endl;
    };
    callbacks.on_revoked = [](auto lost, parti::RevokeDone done) {
        for (const auto& ownership : lost) std::cout << "stop " << ownership.partition().id() << std::endl;
        done();  // only from here on another worker gets them
    };
    auto worker = parti::Worker::make(context, {.group = "orders"}, source, parti::sticky(), callbacks).value();
    worker.start();
    auto ready = worker.wait_for(parti::State::stable, std::chrono::seconds(60));
    std::cout << (ready ? worker.id() + " is stable; Enter stops it" : ready.error().message()) << std::endl;
    if (ready) std::cin.get();
    auto stopped = worker.stop();  // hands everything over, then leaves
    return ready && stopped ? 0 : 1;
} catch (const tl::bad_expected_access<parti::Error>& refused) {
    std::cerr << refused.error().message() << std::endl;
    return 1;
}
