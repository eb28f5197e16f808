#include "consume/naming.h"

#include <array>
#include <charconv>

namespace parti::consume {
namespace {

tl::unexpected<Error> bad_setting(std::string_view what, std::string_view text, const std::string& rule) {
    return fail(Errc::invalid_config, std::string(what) + " ('" + std::string(text) + "') " + rule);
}

bool plain(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-'; }

std::string_view next_token(std::string_view& rest) {
    const std::size_t dot = rest.find('.');
    const std::string_view token = rest.substr(0, dot);
    rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
    return token;
}

template <class T>
std::optional<T> number(std::string_view digits) {
    T value{};
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error != std::errc() || end != digits.data() + digits.size() || digits.empty()) return std::nullopt;
    return value;
}

}  // namespace

Result<SubjectTemplate> SubjectTemplate::parse(std::string_view text, std::string_view what, bool constant) {
    const auto bad = [what](std::string_view value, const std::string& rule) { return bad_setting(what, value, rule); };
    SubjectTemplate made;
    made.text_ = std::string(text);
    if (text.empty()) return bad(text, "must not be empty");
    if (text.front() == '.' || text.back() == '.' || text.find("..") != std::string_view::npos)
        return bad(text, "must be tokens joined by single dots");
    if (text.front() == '$') return bad(text, "must not begin with '$': those are NATS' own");
    std::string literal;
    bool depends = false;  // this token
    bool depends_any = false;
    std::string token;  // of the pattern
    const auto end_token = [&](std::string_view separator) {
        made.pattern_ += depends ? "*" : token;
        made.pattern_ += separator;
        token.clear();
        depends = false;
    };
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == '*' || c == '>' || static_cast<unsigned char>(c) <= ' ' || c == 0x7f || c == '}')
            return bad(text, std::string("must not hold '") + c + "' (wildcards, blanks, control characters, '}' without '{')");
        if (c == '{') {
            const std::size_t close = text.find('}', i);
            const auto key =
                close == std::string_view::npos ? std::nullopt : number<std::size_t>(text.substr(i + 1, close - i - 1));
            if (!key || *key > 63) return bad(text, "must name a key as {0} to {63}");
            made.pieces_.push_back({std::move(literal), *key});
            literal.clear();
            depends = depends_any = true;
            i = close;
            continue;
        }
        literal += c;
        if (c == '.') {
            end_token(".");
        } else {
            token += c;
        }
    }
    end_token("");
    if (!literal.empty()) made.pieces_.push_back({std::move(literal), std::nullopt});
    if (!depends_any && !constant)
        return bad(text, "must name at least one key ({0}); else all partitions would have the same subject");
    return made;
}

Result<std::string> SubjectTemplate::render(const Partition& partition) const {
    const std::vector<std::string> keys = partition.keys();
    std::string out;
    for (const Piece& piece : pieces_) {
        out += piece.literal;
        if (!piece.key) continue;
        if (*piece.key >= keys.size()) {
            return fail(Errc::invalid_argument, "partition '" + partition.id() + "' has " + std::to_string(keys.size()) +
                                                    " keys; subject '" + text_ + "' names key {" + std::to_string(*piece.key) +
                                                    "}");
        }
        out += keys[*piece.key];
    }
    return out;
}

bool covers(std::string_view wide, std::string_view narrow) {
    while (!wide.empty() && !narrow.empty()) {
        const std::string_view w = next_token(wide);
        const std::string_view n = next_token(narrow);
        if (w == ">") return true;
        if (n == ">" || (w != "*" && w != n)) return false;
    }
    return wide.empty() && narrow.empty();
}

Result<std::string> partition_durable(std::string_view prefix, const Partition& partition) {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    std::string name(prefix);
    name += '-';
    for (const char c : partition.id()) {
        if (plain(c)) {
            name += c;
        } else if (c == '.') {
            name += '_';
        } else {
            const auto byte = static_cast<unsigned char>(c);
            name += '=';
            name += kHex[byte >> 4U];
            name += kHex[byte & 15U];
        }
    }
    if (name.size() > kDurableBytesMax) {
        return fail(Errc::invalid_argument, "partition '" + partition.id() + "': the name of its durable consumer would have " +
                                                std::to_string(name.size()) + " bytes; at most " +
                                                std::to_string(kDurableBytesMax) +
                                                " are possible: use a shorter prefix or shorter keys");
    }
    return name;
}

std::string worker_durable(std::string_view prefix, WorkerNumber number, Incarnation incarnation) {
    return std::string(prefix) + '-' + std::to_string(number.value) + '-' + std::to_string(incarnation.value);
}

std::optional<WorkerDurable> parse_worker_durable(std::string_view prefix, std::string_view name) {
    if (name.size() <= prefix.size() + 1 || name.substr(0, prefix.size()) != prefix || name[prefix.size()] != '-')
        return std::nullopt;
    name.remove_prefix(prefix.size() + 1);
    const std::size_t dash = name.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto n = number<std::uint32_t>(name.substr(0, dash));
    const auto incarnation = number<std::uint64_t>(name.substr(dash + 1));
    if (!n || !incarnation) return std::nullopt;
    return WorkerDurable{WorkerNumber{*n}, Incarnation{*incarnation}};
}

}  // namespace parti::consume
