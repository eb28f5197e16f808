#include "outputs.h"

#include "testutil/json_file.h"

namespace parti::report {

Outcome<void> write_outputs(const CommandLine& line, const Report& report, const Heading& heading, const RunResults* measured) {
    const std::string markdown = render_markdown(report, heading);
    const std::vector<std::pair<std::string, std::string>> outputs{
        {"--text", render_text(report, heading, true)},
        {"--markdown", markdown},
        {"--summary", markdown + (measured == nullptr ? "" : "\n" + render_summary(*measured))},
        {"--json", render_json(report, heading)}};
    for (const auto& [option, content] : outputs) {
        if (!line.has(option)) continue;
        if (const auto written = write_file(line.get(option), content); !written) return written;
    }
    return {};
}

}  // namespace parti::report
