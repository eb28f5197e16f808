#include <parti/metrics.h>

#include <fmt/format.h>

#include <iterator>
#include <string_view>
#include <vector>

namespace parti {

namespace {

constexpr std::string_view kEnd = "# EOF\n";

struct Sample {
    std::string labels;  // group="g",slot="0",stream="ORDERS"
    ConsumerStats stats;
    std::size_t troubles = 0;
};

// Label values may hold anything a stream's name may.
std::string escaped(std::string_view value) {
    std::string out;
    for (const char c : value) {
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

class Text {
public:
    Text(std::string before, std::vector<Sample> samples) : text_(std::move(before)), samples_(std::move(samples)) {}

    template <class Get>
    void counter(std::string_view name, std::string_view help, Get get) {
        family(name, "counter", help, "_total", get);
    }
    template <class Get>
    void gauge(std::string_view name, std::string_view help, Get get) {
        family(name, "gauge", help, "", get);
    }
    std::string take() { return std::move(text_) + std::string(kEnd); }

private:
    template <class Get>
    void family(std::string_view name, std::string_view type, std::string_view help, std::string_view suffix, Get get) {
        const auto out = std::back_inserter(text_);
        fmt::format_to(out, "# TYPE {} {}\n", name, type);
        if (name.ends_with("_seconds")) fmt::format_to(out, "# UNIT {} seconds\n", name);
        fmt::format_to(out, "# HELP {} {}\n", name, help);
        for (const Sample& s : samples_) fmt::format_to(out, "{}{}{{{}}} {}\n", name, suffix, s.labels, get(s));
    }

    std::string text_;
    std::vector<Sample> samples_;
};

auto of(std::uint64_t ConsumerStats::*member) {
    return [member](const Sample& s) { return s.stats.*member; };
}

void counters(Text& text) {
    text.counter("parti_consumer_pulled", "Messages that came.", of(&ConsumerStats::pulled));
    text.counter("parti_consumer_handled", "Handlers that returned success.", of(&ConsumerStats::handled));
    text.counter("parti_consumer_failed", "Handlers that threw or returned an error.", of(&ConsumerStats::failed));
    text.counter("parti_consumer_acked", "Messages acknowledged.", of(&ConsumerStats::acked));
    text.counter("parti_consumer_redelivered", "Messages that did not come for the first time.", of(&ConsumerStats::redelivered));
    text.counter("parti_consumer_repeated", "Messages that the server sent again although they were acknowledged.",
                 of(&ConsumerStats::repeated));
    text.counter("parti_consumer_given_back", "Messages fetched, not begun and given back at a revoke.",
                 of(&ConsumerStats::given_back));
    text.counter("parti_consumer_left", "Messages dropped without an answer; they come again.", of(&ConsumerStats::left));
    text.counter("parti_consumer_dead_lettered", "Messages given up and stored under the dead-letter subject.",
                 of(&ConsumerStats::dead_lettered));
    text.counter("parti_consumer_recreations", "Durables that had vanished and were made again.",
                 of(&ConsumerStats::recreations));
    text.counter("parti_consumer_pulls_lost", "Pulls made again: missed heartbeats, leadership, reconnects.",
                 of(&ConsumerStats::pulls_lost));
    text.counter("parti_consumer_acks_lost", "Acknowledgements that could not be sent; those messages come again.",
                 of(&ConsumerStats::acks_lost));
}

void gauges(Text& text) {
    text.gauge("parti_consumer_lag", "Messages not yet delivered, as the last deliveries said, or the server in a stall.",
               of(&ConsumerStats::lag));
    text.gauge("parti_consumer_in_flight", "Messages delivered and not settled.",
               [](const Sample& s) { return s.stats.in_flight; });
    text.gauge("parti_consumer_oldest_in_flight_seconds", "Age of the oldest of them.",
               [](const Sample& s) { return std::chrono::duration<double>(s.stats.oldest_in_flight).count(); });
    text.gauge("parti_consumer_partitions", "Partitions owned.", [](const Sample& s) { return s.stats.partitions; });
    text.gauge("parti_consumer_consuming", "Of these, partitions whose durable is there.",
               [](const Sample& s) { return s.stats.consuming; });
    text.gauge("parti_consumer_troubles",
               "Of these, partitions that are not consumed, for a reason that Consumer::troubles names.",
               [](const Sample& s) { return s.troubles; });
}

}  // namespace

std::string metrics_text(std::span<const Worker* const> workers, std::span<const Consumer* const> consumers) {
    std::string text = metrics_text(workers);
    text.erase(text.size() - kEnd.size());
    std::vector<Sample> samples;
    samples.reserve(consumers.size());
    for (std::size_t i = 0; i < consumers.size(); ++i) {
        const Consumer& c = *consumers[i];
        samples.push_back({fmt::format("group=\"{}\",slot=\"{}\",stream=\"{}\"", c.group(), i, escaped(c.stream())), c.stats(),
                           c.troubles().size()});
    }
    Text out(std::move(text), std::move(samples));
    counters(out);
    gauges(out);
    return out.take();
}

}  // namespace parti
