// RuleList: collects broken rules, so that a user reads all of them at once, in the order they were checked.
//
// Errors    result(): the code given, with the sentences joined by "; ".
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <parti/result.h>

namespace parti::base {

class RuleList {
public:
    // One sentence: "ttl (1s) must be ...".
    void broken(std::initializer_list<std::string_view> pieces) {
        if (!text_.empty()) text_ += "; ";
        for (const std::string_view piece : pieces) text_ += piece;
    }
    void require(bool holds, std::initializer_list<std::string_view> pieces) {
        if (!holds) broken(pieces);
    }
    bool empty() const { return text_.empty(); }
    Result<void> result(Errc code) const {
        if (text_.empty()) return {};
        return fail(code, text_);
    }

private:
    std::string text_;
};

}  // namespace parti::base
