// Metrics: what metrics_text says, series ("name{labels}") -> value.
//
// Role      Tests read its text back.
// Errors    Whatever breaks a rule of OpenMetrics, or of parti/metrics.h for the group "g", is a GoogleTest failure.
#pragma once

#include <gtest/gtest.h>

#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>

namespace parti::test {

class Metrics {
public:
    explicit Metrics(const std::string& text) {
        EXPECT_TRUE(text.ends_with("# EOF\n"));
        std::istringstream in(text);
        for (std::string line; std::getline(in, line);) {
            EXPECT_FALSE(ended_) << "after EOF: " << line;
            if (line == "# EOF") ended_ = true;
            else if (line.rfind("# ", 0) == 0) describe(line);
            else sample(line);
        }
        for (const auto& [name, type] : types_) EXPECT_TRUE(helped_.contains(name)) << name << " has no HELP";
    }
    std::optional<double> value(const std::string& series) const {
        const auto it = series_.find(series);
        return it == series_.end() ? std::nullopt : std::optional(it->second);
    }
    const std::map<std::string, double>& series() const { return series_; }
    std::size_t families() const { return types_.size(); }

private:
    void describe(const std::string& line) {
        std::istringstream in(line);
        std::string hash, what, name, rest;
        in >> hash >> what >> name >> rest;
        EXPECT_FALSE(rest.empty()) << line;
        if (what == "TYPE") {
            EXPECT_TRUE(name.rfind("parti_", 0) == 0 && !name.ends_with("_total")) << line;
            EXPECT_TRUE(rest == "counter" || rest == "gauge" || rest == "summary" || rest == "info") << line;
            EXPECT_TRUE(types_.emplace(name, rest).second) << "twice: " << line;
            family_ = name;
        } else if (what == "HELP") {
            EXPECT_TRUE(name == family_ && helped_.insert(name).second) << line;
            EXPECT_TRUE(line.ends_with(".")) << line;
        } else {
            EXPECT_TRUE(what == "UNIT" && name == family_ && rest == "seconds" && name.ends_with("_seconds")) << line;
        }
    }
    void sample(const std::string& line) {
        const std::size_t open = line.find('{');
        const std::size_t close = line.find("} ");
        ASSERT_TRUE(open != std::string::npos && close != std::string::npos) << line;
        const std::string name = line.substr(0, open);
        ASSERT_TRUE(name.rfind(family_, 0) == 0) << line << " in the family " << family_;
        const std::string suffix = name.substr(family_.size());
        const std::string& type = types_[family_];
        const bool fits = type == "counter" ? suffix == "_total"
                          : type == "info"  ? suffix == "_info"
                          : type == "gauge" ? suffix.empty()
                                            : suffix == "_sum" || suffix == "_count";
        EXPECT_TRUE(fits) << line << " is not a sample of a " << type;
        EXPECT_NE(line.find("group=\"g\",slot=\""), std::string::npos) << line;
        double value = -1;
        const std::string digits = line.substr(close + 2);
        const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
        EXPECT_TRUE(parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size() && value >= 0) << line;
        EXPECT_TRUE(series_.emplace(line.substr(0, close + 1), value).second) << "twice: " << line;
    }

    bool ended_ = false;
    std::string family_;
    std::map<std::string, std::string> types_;
    std::set<std::string> helped_;
    std::map<std::string, double> series_;
};

}  // namespace parti::test
