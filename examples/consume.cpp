#include <iostream>

#include <parti/parti.h>

int main() try {
    auto context = parti::Context::connect({.urls = {"nats://127.0.0.1:4222"}}).value();
    const auto eu = parti::Partition::make({"orders", "eu"}).value();
    const auto us = parti::Partition::make({"orders", "us"}).value();
    auto source = parti::StaticSource::make({eu, us}).value();
    auto worker = parti::Worker::make(context, {.group = "orders"}, source).value();
    parti::ConsumerConfig config;
    config.stream = "ORDERS";                        // listens to orders.>
    config.subject = "orders.{1}";                   // of partition orders.eu: orders.eu
    config.dead_letter_subject = "dead.orders.{1}";  // of another stream, for what fails five times
    const auto handle = [](parti::Message& message) -> parti::Result<void> {
        std::cout << message.subject() << ' ' << message.sequence() << ": " << message.payload() << std::endl;
        return {};  // acknowledges it; an error, or an exception, has it delivered again, later
    };
    auto consumer = parti::Consumer::make(worker, config, handle).value();
    if (auto started = consumer.start(); !started) {  // says what is missing, and what to do about it
        std::cerr << started.error().message() << std::endl;
        return 1;
    }
    worker.start();
    std::cin.get();
    return worker.stop() ? 0 : 1;  // lets handlers finish, gives back what was not begun, hands over, leaves
} catch (const tl::bad_expected_access<parti::Error>& refused) {
    std::cerr << refused.error().message() << std::endl;
    return 1;
}
