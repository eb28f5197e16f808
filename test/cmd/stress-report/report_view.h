// ReportView: what a report of one run says, whatever it is written as.
//
// Role      Chooses and words; report_html.cpp and report_markdown.cpp only lay out.
// Model     The verdict first: one sentence of what happened, one of what to do. Order of what matters: a failed or unfinished
//           test, a criterion that is not met, a regression, a warning, nothing comparable, all well. Every metric of every
//           result file is in `tests`. What a section needs and no test measured is `kNotMeasured`, never left out.
// Threads   A value; it points into the RunResults and the Report given, which must outlive it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "report_extras.h"
#include "testutil/diff.h"
#include "testutil/run_folder.h"

namespace parti::report {

enum class Grade { pass, warn, fail, unsure };
std::string_view name(Grade grade);  // PASS WARN FAIL INCONCLUSIVE
Grade grade_of(Verdict verdict);

struct Fact {
    std::string name, text;
};

struct MetricView {
    const Metric* metric = nullptr;
    const Row* row = nullptr;  // its comparison; absent when there was none
};

struct TestView {
    const TestResult* test = nullptr;
    std::string short_name;  // "IsolatedParti/10w_100p"
    std::vector<MetricView> metrics;
    std::size_t compared = 0, failed = 0, warned = 0;
};

struct CriterionView {
    std::string expression, test, measured, verdict, note;
    Grade grade = Grade::unsure;
};

struct ReportInput {
    const RunResults* results = nullptr;
    const Report* diff = nullptr;
    std::string baseline;                 // which file, and why that one
    std::vector<CriterionView> criteria;  // empty: no criteria file was used
    HistoryView history{};
    std::vector<ProfileView> profiles{};
};

struct ReportView {
    ReportInput input;
    Grade grade = Grade::unsure;
    std::string happened, action;  // one sentence each
    std::vector<Fact> environment;
    std::vector<TestView> tests;       // as in the results
    std::vector<const Row*> vanished;  // in the baseline, and a test of this run passed without them
    std::vector<Fact> contamination;   // test, what was contaminated
    std::vector<Fact> capacity;        // test, what it carried and what limits it
};

ReportView view_of(ReportInput input);

// The metrics of this name, in the order of the tests; those of tests whose name does not contain `part` are left out.
std::vector<std::pair<const TestView*, MetricView>> metrics_named(const ReportView& view, std::string_view name,
                                                                  std::string_view part = "");
// Of all tests: is there a metric or detail that the section shows?
bool is_leak_metric(const TestView& test, const Metric& metric);

}  // namespace parti::report
