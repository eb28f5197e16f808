#include <cstdio>

#include "arguments.h"
#include "sources.h"
#include "testutil/json_file.h"
#include "testutil/side_by_side.h"

namespace parti::report {
namespace {

struct Named {
    std::string label, result, test, prefix;
};

// [LABEL=]RESULT[#TEST[:PREFIX]]
Named split(const std::string& text) {
    Named named{text, text, "", ""};
    const auto equals = text.find('=');
    const bool labelled = equals != std::string::npos && equals > 0 && text.find('/') > equals;  // a path may hold a = itself
    if (labelled) {
        named.label = text.substr(0, equals);
        named.result = text.substr(equals + 1);
    }
    const auto hash = named.result.find('#');
    if (hash != std::string::npos) {
        named.test = named.result.substr(hash + 1);
        named.result.resize(hash);
        if (!labelled) named.label = named.test;
        if (const auto colon = named.test.find(':'); colon != std::string::npos) {
            named.prefix = named.test.substr(colon + 1);
            named.test.resize(colon);
        }
    }
    return named;
}

Outcome<void> add_column(std::vector<Column>& columns, const std::string& text) {
    const Named named = split(text);
    if (named.result.empty()) return bad_input("'" + text + "' must be [LABEL=]RESULT[#TEST[:PREFIX]]; the RESULT is missing");
    auto source = read_source(named.result, false);
    if (!source) return tl::unexpected<Problem>(source.error());
    if (!named.test.empty()) {
        std::erase_if(source->tests, [&](const TestResult& result) { return result.test != named.test; });
        if (source->tests.empty()) return bad_input(text + ": has no test '" + named.test + "'");
    }
    if (!named.prefix.empty()) {
        std::size_t left = 0;
        for (TestResult& result : source->tests) {
            std::erase_if(result.metrics, [&](const Metric& metric) { return !metric.name.starts_with(named.prefix); });
            for (Metric& metric : result.metrics) metric.name.erase(0, named.prefix.size());
            left += result.metrics.size();
        }
        if (left == 0) return bad_input(text + ": no metric begins with '" + named.prefix + "'");
    }
    Column* column = nullptr;
    for (Column& known : columns) column = known.label == named.label ? &known : column;
    if (column == nullptr) {
        columns.push_back({named.label, {}, !named.test.empty()});
        column = &columns.back();
    }
    for (TestResult& result : source->tests) column->results.push_back(std::move(result));
    if (column->one_test == named.test.empty())
        return bad_input(text + ": a test is picked with #TEST for every column or for none");
    return {};
}

}  // namespace

Outcome<ExitCode> run_compare(const Arguments& arguments) {
    const auto line = parse_arguments(arguments, {"--test", "--metric", "--text", "--markdown"}, {});
    if (!line) return tl::unexpected<Problem>(line.error());
    std::vector<Column> columns;
    for (const std::string& text : line->positional) {
        if (const auto added = add_column(columns, text); !added) return tl::unexpected<Problem>(added.error());
        if (columns.back().one_test != columns.front().one_test) {
            return bad_input(text + ": a test is picked with #TEST for every column or for none");
        }
    }
    if (columns.size() < 2) return bad_input("compare: takes at least two RESULTs with different labels");
    const auto pattern = [&](const char* option) { return line->has(option) ? line->get(option) : std::string("*"); };
    const auto table = side_by_side(columns, pattern("--test"), pattern("--metric"));
    if (!table) return tl::unexpected<Problem>(table.error());
    const std::string text = render_text(*table);
    const std::vector<std::pair<std::string, std::string>> outputs{{"--text", text}, {"--markdown", render_markdown(*table)}};
    for (const auto& [option, content] : outputs) {
        if (!line->has(option)) continue;
        if (const auto written = write_file(line->get(option), content); !written)
            return tl::unexpected<Problem>(written.error());
    }
    std::fputs(text.c_str(), stdout);
    return ExitCode::pass;
}

}  // namespace parti::report
