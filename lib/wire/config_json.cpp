// Config <-> JSON. Every key has one row, which reads and writes it.
#include <algorithm>
#include <array>
#include <charconv>
#include <numeric>
#include <span>

#include <parti/config.h>

#include "base/config_fields.h"
#include "base/durations.h"
#include "base/rule_list.h"
#include "wire/fields.h"
#include "wire/json_tape.h"
#include "wire/json_text.h"

namespace parti {

namespace {

using base::RuleList;
using wire::Tape;
using Kind = Tape::Kind;

// One value and the key it is for; the readers below report into `rules`.
struct Item {
    RuleList& rules;
    std::string_view key;
    Tape::Value value;

    void wrong_kind(std::string_view wanted) const { rules.broken({key, " is ", value.kind_name(), "; it must be ", wanted}); }
};

void read(const Item& item, std::string& out) {
    if (!item.value.is(Kind::text)) return item.wrong_kind("a string");
    out = item.value.text();
}

void read(const Item& item, std::uint32_t& out) {
    if (!item.value.is(Kind::unsigned_number)) return item.wrong_kind("a whole number that is not negative");
    constexpr std::uint64_t kLargest = std::numeric_limits<std::uint32_t>::max();
    if (item.value.number() > kLargest) {
        return item.rules.broken(
            {item.key, " (", std::to_string(item.value.number()), ") must be at most ", std::to_string(kLargest)});
    }
    out = static_cast<std::uint32_t>(item.value.number());
}

void read(const Item& item, double& out) {
    const bool number =
        item.value.is(Kind::unsigned_number) || item.value.is(Kind::negative_number) || item.value.is(Kind::real_number);
    if (!number) return item.wrong_kind("a number");
    out = item.value.real();
}

void read(const Item& item, Duration& out) {
    if (!item.value.is(Kind::text)) return item.wrong_kind(R"(a string with a unit, as in "300ms", "6s", "2m" or "1h")");
    const auto duration = base::parse_duration(item.value.text());
    if (!duration) return item.rules.broken({item.key, ": ", duration.error().detail});
    out = *duration;
}

template <class Enum, std::size_t N>
void read_name(const Item& item, const base::Names<Enum, N>& names, Enum& out) {
    std::string wanted;
    for (std::size_t i = 0; i < N; ++i) {
        if (i > 0) wanted += i + 1 == N ? " or " : ", ";
        wanted += names[i].first;
    }
    if (!item.value.is(Kind::text)) return item.wrong_kind(wanted);
    for (const auto& [name, value] : names) {
        if (name == item.value.text()) {
            out = value;
            return;
        }
    }
    item.rules.broken({item.key, " is ", wire::quoted(item.value.text()), "; it must be ", wanted});
}
void read(const Item& item, Policy& out) { read_name(item, base::kPolicies, out); }
void read(const Item& item, ColdStart& out) { read_name(item, base::kColdStarts, out); }
void read(const Item& item, InstanceTakeover& out) { read_name(item, base::kInstanceTakeovers, out); }
void read(const Item& item, Storage& out) { read_name(item, base::kStorages, out); }
void read(const Item& item, CreateBuckets& out) { read_name(item, base::kCreateBuckets, out); }

void write(std::string& out, const std::string& value) { wire::append_json(out, std::string_view(value)); }
void write(std::string& out, std::uint32_t value) { wire::append_json(out, std::uint64_t{value}); }
void write(std::string& out, double value) {
    char buffer[32];
    out.append(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
}
template <class Enum, std::size_t N>
void write_name(std::string& out, const base::Names<Enum, N>& names, Enum value) {
    for (const auto& [name, one] : names) {
        if (one == value) wire::append_json(out, name);
    }
}
void write(std::string& out, Policy value) { write_name(out, base::kPolicies, value); }
void write(std::string& out, ColdStart value) { write_name(out, base::kColdStarts, value); }
void write(std::string& out, InstanceTakeover value) { write_name(out, base::kInstanceTakeovers, value); }
void write(std::string& out, Storage value) { write_name(out, base::kStorages, value); }
void write(std::string& out, CreateBuckets value) { write_name(out, base::kCreateBuckets, value); }

struct Row {
    std::string_view name;
    void (*read)(const Item& item, Config& config);
    void (*write)(std::string& out, const Config& config);
};

template <auto member>
constexpr Row row(std::string_view name) {
    return {name, [](const Item& item, Config& config) { parti::read(item, config.*member); },
            [](std::string& out, const Config& config) { parti::write(out, config.*member); }};
}

void read_timing(const Item& item, Config& config);
void write_timing(std::string& out, const Config& config);

constexpr std::array<Row, 16> kRows{{
    row<&Config::group>("group"),
    row<&Config::worker_prefix>("worker_prefix"),
    row<&Config::number_min>("number_min"),
    row<&Config::number_max>("number_max"),
    row<&Config::instance>("instance"),
    row<&Config::instance_takeover>("instance_takeover"),
    row<&Config::capacity>("capacity"),
    row<&Config::zone>("zone"),
    row<&Config::policy>("policy"),
    row<&Config::cold_start>("cold_start"),
    row<&Config::expected_workers>("expected_workers"),
    row<&Config::restart_detection_ratio>("restart_detection_ratio"),
    row<&Config::storage>("storage"),
    row<&Config::replicas>("replicas"),
    row<&Config::create_buckets>("create_buckets"),
    {"timing", read_timing, write_timing},
}};

std::string path_of(std::string_view section, std::string_view name) {
    std::string out(section);
    if (!out.empty()) out += '.';
    return out.append(name);
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < a.size(); ++i) {
        std::size_t diagonal = row[0];
        row[0] = i + 1;
        for (std::size_t k = 0; k < b.size(); ++k) {
            const std::size_t replaced = diagonal + (a[i] == b[k] ? 0 : 1);
            diagonal = row[k + 1];
            row[k + 1] = std::min({row[k] + 1, diagonal + 1, replaced});
        }
    }
    return row.back();
}

// The known key that is spelled most alike; those of the same section win a tie.
std::string nearest_key(std::string_view section, std::string_view name) {
    name = name.substr(0, 64);
    std::string best;
    std::size_t best_distance = std::numeric_limits<std::size_t>::max();
    const auto consider = [&](std::string_view in_section, std::string_view known) {
        const std::size_t distance = 2 * edit_distance(name, known) + (in_section == section ? 0 : 1);
        if (distance >= best_distance) return;
        best_distance = distance;
        best = path_of(in_section, known);
    };
    for (const Row& known : kRows) consider("", known.name);
    for (const base::TimingField& known : base::kTimingFields) consider("timing", known.name);
    consider("timing", "preset");
    return best;
}

// Calls `known(name, index of the row, value)` for each key that has a row; reports the others and doubles.
template <class Rows, class Known>
void for_each_key(RuleList& rules, std::string_view section, Tape::Value object, const Rows& rows, Known known) {
    std::array<bool, std::tuple_size_v<Rows>> seen{};
    for (Tape::Value key = object.begin(); key != object.end();) {
        const Tape::Value value = key.next();
        const std::string_view name = key.text();
        key = value.next();
        const auto found = std::find_if(rows.begin(), rows.end(), [name](const auto& one) { return one.name == name; });
        if (found == rows.end()) {
            rules.broken({"unknown key ", wire::quoted(path_of(section, name)), "; the nearest known key is '",
                          nearest_key(section, name), "'"});
            continue;
        }
        bool& twice = seen[static_cast<std::size_t>(found - rows.begin())];
        rules.require(!twice, {path_of(section, name), " occurs twice"});
        twice = true;
        known(*found, value);
    }
}

// The timing's rows, and the preset that the others are relative to.
struct TimingRow {
    std::string_view name;
    const base::TimingField* field = nullptr;  // null: the preset
};
constexpr auto kTimingRows = [] {
    std::array<TimingRow, base::kTimingFields.size() + 1> rows{};
    rows[0].name = "preset";
    for (std::size_t i = 0; i < base::kTimingFields.size(); ++i)
        rows[i + 1] = {base::kTimingFields[i].name, &base::kTimingFields[i]};
    return rows;
}();

void read_preset(const Item& item, Timing& timing) {
    using Make = Timing (*)();
    static constexpr base::Names<Make, 3> kPresets{
        {{"conservative", &conservative_timing}, {"balanced", &balanced_timing}, {"aggressive", &aggressive_timing}}};
    Make make = &balanced_timing;
    read_name(item, kPresets, make);
    timing = make();
}

void read_timing(const Item& item, Config& config) {
    if (!item.value.is(Kind::object)) return item.wrong_kind("an object");
    for (const bool preset : {true, false}) {  // the preset first, wherever it stands
        RuleList said_once;
        for_each_key(preset ? said_once : item.rules, "timing", item.value, kTimingRows,
                     [&](const TimingRow& row, Tape::Value value) {
                         const std::string path = path_of("timing", row.name);  // an Item only looks at it
                         const Item field{item.rules, path, value};
                         if (preset != (row.field == nullptr)) return;
                         if (preset) read_preset(field, config.timing);
                         else read(field, config.timing.*row.field->member);
                     });
    }
}

void write_timing(std::string& out, const Config& config) {
    out += '{';
    for (const base::TimingField& field : base::kTimingFields) {
        if (out.back() != '{') out += ',';
        wire::append_json(out, field.name);
        out += ':';
        write(out, base::to_text(config.timing.*field.member));
    }
    out += '}';
}

}  // namespace

Result<Config> Config::from_json(std::string_view json) {
    const auto tape = Tape::parse(json);
    if (!tape) return fail(Errc::invalid_config, std::string("the configuration is ").append(tape.error().detail));
    if (!tape->root().is(Kind::object)) {
        return fail(Errc::invalid_config,
                    std::string("the configuration is ").append(tape->root().kind_name()).append("; it must be an object"));
    }
    RuleList rules;
    Config config;
    for_each_key(rules, "", tape->root(), kRows, [&](const Row& row, Tape::Value value) {
        row.read(Item{rules, row.name, value}, config);
    });
    if (!rules.empty()) return tl::unexpected(rules.result(Errc::invalid_config).error());
    if (auto valid = config.validate(); !valid) return tl::unexpected(valid.error());
    return config;
}

std::string Config::to_json() const {
    std::string out = "{";
    for (const Row& row : kRows) {
        if (out.size() > 1) out += ',';
        wire::append_json(out, row.name);
        out += ':';
        row.write(out, *this);
    }
    return out += '}';
}

}  // namespace parti
