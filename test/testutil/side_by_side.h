// side_by_side: the figures of several runs or result files in one table: a column each, and the ratio to the first.
//
// Model     A row per test and metric that any column has. Cells are medians over the launches; a cell that was not measured says
//           so. No verdict: two columns may be two servers, two stores, two strategies, or one fleet in 1, 3 and W processes. A
//           ratio is shown only where both medians are above 0; `certain` says that the 95 % interval of the ratio does not
//           contain 1.
// Errors    One metric in two units: bad_input.
// Threads   Pure functions.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "testutil/results.h"

namespace parti::report {

struct Column {
    std::string label;
    std::vector<TestResult> results;  // launches of one test in several results count together
    bool one_test = false;            // a test was picked: its name is left out, so that other tests' columns stand beside it
};

struct SideCell {
    std::optional<double> median;  // absent: not measured, or not there
    double noise = 0;
    std::size_t n = 0;
    std::optional<double> ratio;  // to the first column
    bool certain = false;
    std::string note;
};

struct SideRow {
    std::string test, metric;
    Unit unit = Unit::count;
    Direction direction = Direction::lower;
    std::vector<SideCell> cells;  // one per column
};

struct SideTable {
    std::vector<std::string> labels;
    std::vector<std::string> remarks;  // what the columns' machines, builds and versions differ in
    std::vector<SideRow> rows;
};

// `tests`, `metrics`: patterns of what is shown.
Outcome<SideTable> side_by_side(const std::vector<Column>& columns, const std::string& tests = "*",
                                const std::string& metrics = "*");
std::string render_text(const SideTable& table);
std::string render_markdown(const SideTable& table);

}  // namespace parti::report
