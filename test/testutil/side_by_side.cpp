#include "testutil/side_by_side.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "testutil/criteria.h"
#include "testutil/statistics.h"

namespace parti::report {
namespace {

struct Collected {
    Unit unit = Unit::count;
    Direction direction = Direction::lower;
    std::vector<std::vector<double>> launches;  // per column
    std::vector<std::string> notes;
};
using Key = std::pair<std::string, std::string>;  // test, metric

void describe(const std::vector<Column>& columns, std::vector<std::string>& remarks) {
    std::map<std::string, std::vector<std::string>> seen;  // key -> value per column
    for (std::size_t i = 0; i < columns.size(); ++i) {
        for (const TestResult& result : columns[i].results) {
            const auto note = [&](const std::string& key, const std::string& value) {
                auto& values = seen[key];
                values.resize(columns.size(), "-");
                values[i] = value;
            };
            note("commit", result.commit.substr(0, 12) + (result.dirty ? "+" : ""));
            for (const auto key : kFingerprintKeys) note(std::string(key), std::string(result.fingerprint.get(key)));
            for (const auto& [key, value] : result.versions) {
                if (!key.ends_with("sha256")) note("version of " + key, value);
            }
        }
    }
    for (const auto& [key, values] : seen) {
        if (std::set<std::string>(values.begin(), values.end()).size() < 2) continue;
        std::string line = key + ":";
        for (std::size_t i = 0; i < values.size(); ++i) line += (i == 0 ? " " : ", ") + columns[i].label + " " + values[i];
        remarks.push_back(std::move(line));
    }
}

SideRow row_of(const Key& key, const Collected& collected) {
    SideRow row{key.first, key.second, collected.unit, collected.direction, {}};
    for (std::size_t i = 0; i < collected.launches.size(); ++i) {
        const auto& launches = collected.launches[i];
        SideCell cell;
        cell.n = launches.size();
        cell.note = collected.notes[i];
        if (!launches.empty()) {
            cell.median = median(launches);
            cell.noise = relative_noise(launches);
        }
        const auto& first = collected.launches.front();
        if (i > 0 && cell.median && !first.empty() && median(first) > 0 && *cell.median > 0) {
            cell.ratio = *cell.median / median(first);
            const Effect effect = hodges_lehmann(first, launches);
            cell.certain = effect.lower && effect.upper && (*effect.lower > 0 || *effect.upper < 0);
        }
        row.cells.push_back(std::move(cell));
    }
    return row;
}

std::string text_of(const SideCell& cell, Unit unit) {
    if (!cell.median) return cell.note.empty() ? "-" : "not measured";
    std::string text = format_value(*cell.median, unit);
    if (cell.n > 1) {
        char noise[32];
        std::snprintf(noise, sizeof noise, " +-%.1f %%", cell.noise * 100);
        text += noise;
    }
    return text;
}

std::string ratio_of(const SideCell& cell) {
    if (!cell.ratio) return "-";
    char text[32];
    std::snprintf(text, sizeof text, "x%.2f", *cell.ratio);
    return std::string(text) + (cell.certain ? "" : " ~");
}

std::vector<std::vector<std::string>> cells_of(const SideTable& table) {
    std::vector<std::vector<std::string>> lines{{"metric"}};
    for (std::size_t i = 0; i < table.labels.size(); ++i) {
        lines.front().push_back(table.labels[i]);
        if (i > 0) lines.front().push_back("/ " + table.labels.front());
    }
    for (const SideRow& row : table.rows) {
        std::vector<std::string> line{row.metric};
        for (std::size_t i = 0; i < row.cells.size(); ++i) {
            line.push_back(text_of(row.cells[i], row.unit));
            if (i > 0) line.push_back(ratio_of(row.cells[i]));
        }
        lines.push_back(std::move(line));
    }
    return lines;
}

constexpr const char* kLegend =
    "medians +- noise over launches (1.4826 MAD); ~ the 95 % interval of the ratio contains 1, or there are too few launches\n";

}  // namespace

Outcome<SideTable> side_by_side(const std::vector<Column>& columns, const std::string& tests, const std::string& metrics) {
    SideTable table;
    std::map<Key, Collected> rows;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        table.labels.push_back(columns[i].label);
        for (const TestResult& result : columns[i].results) {
            if (result.status != TestStatus::passed) {
                table.remarks.push_back(columns[i].label + ": " + result.test + " has status '" +
                                        std::string(name(result.status)) + "'");
            }
            for (const Metric& metric : result.metrics) {
                if (!matches(tests, result.test) || !matches(metrics, metric.name)) continue;
                auto [at, added] = rows.try_emplace({columns[i].one_test ? "" : result.test, metric.name});
                Collected& row = at->second;
                if (added) {
                    row.unit = metric.unit;
                    row.direction = metric.direction;
                    row.launches.resize(columns.size());
                    row.notes.resize(columns.size());
                } else if (row.unit != metric.unit) {
                    return bad_input(columns[i].label + ": " + result.key(metric) + ": is in " + std::string(name(metric.unit)) +
                                     ", beside " + std::string(name(row.unit)) + "; one row must have one unit");
                }
                row.launches[i].insert(row.launches[i].end(), metric.launches.begin(), metric.launches.end());
                if (!metric.note.empty()) row.notes[i] = metric.note;
            }
        }
    }
    for (const auto& [key, collected] : rows) table.rows.push_back(row_of(key, collected));
    describe(columns, table.remarks);
    return table;
}

std::string render_text(const SideTable& table) {
    const auto lines = cells_of(table);
    std::vector<std::size_t> widths(lines.front().size());
    for (const auto& line : lines) {
        for (std::size_t i = 0; i < line.size(); ++i) widths[i] = std::max(widths[i], line[i].size());
    }
    std::string out;
    for (const auto& remark : table.remarks) out += remark + "\n";
    for (std::size_t i = 0; i < lines.size(); ++i) {
        const bool new_test = i > 0 && (i == 1 || table.rows[i - 1].test != table.rows[i - 2].test);
        if (new_test && !table.rows[i - 1].test.empty()) out += table.rows[i - 1].test + "\n";
        std::string text = "  " + lines[i].front() + std::string(widths.front() - lines[i].front().size(), ' ');
        for (std::size_t k = 1; k < lines[i].size(); ++k)
            text += "  " + std::string(widths[k] - lines[i][k].size(), ' ') + lines[i][k];
        out += text + "\n";
    }
    return out + kLegend;
}

std::string render_markdown(const SideTable& table) {
    std::string out;
    for (const auto& remark : table.remarks) out += "- " + remark + "\n";
    const auto lines = cells_of(table);
    for (std::size_t i = 0; i < lines.size(); ++i) {
        out += (i == 0 ? "\n| test | " : "| " + table.rows[i - 1].test + " | ");
        for (const auto& cell : lines[i]) out += cell + " | ";
        out += "\n";
        if (i > 0) continue;
        out += "|---|---|";
        for (std::size_t k = 1; k < lines[i].size(); ++k) out += "--:|";
        out += "\n";
    }
    return out + "\n" + kLegend;
}

}  // namespace parti::report
