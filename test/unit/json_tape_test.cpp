#include "wire/json_tape.h"

#include <bit>
#include <cstdlib>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <parti/types.h>

#include "base/rng.h"
#include "base/utf8.h"

namespace parti::wire {
namespace {

using Kind = Tape::Kind;

nlohmann::json to_dom(Tape::Value value) {
    switch (value.kind()) {
        case Kind::null: return nullptr;
        case Kind::boolean: return value.boolean();
        case Kind::unsigned_number: return value.number();
        case Kind::negative_number: return std::bit_cast<std::int64_t>(value.number());
        case Kind::real_number: return value.real();
        case Kind::text: return std::string(value.text());
        case Kind::array: {
            nlohmann::json out = nlohmann::json::array();
            for (auto item = value.begin(); item != value.end(); item = item.next()) out.push_back(to_dom(item));
            return out;
        }
        case Kind::object: {
            nlohmann::json out = nlohmann::json::object();
            for (auto key = value.begin(); key != value.end(); key = key.next().next())
                out[std::string(key.text())] = to_dom(key.next());
            return out;
        }
    }
    return nullptr;
}

// Both read it to the same, or both refuse it. An underflowing number (1e-999) is refused here and 0 there.
void expect_as_nlohmann(const std::string& bytes) {
    const auto tape = Tape::parse(bytes);
    const auto dom = nlohmann::json::parse(bytes, nullptr, false);
    if (!tape && tape.error().detail.find("out of range") != std::string::npos) return;
    ASSERT_EQ(tape.has_value(), !dom.is_discarded()) << bytes << (tape ? "" : "\n" + tape.error().detail);
    if (tape) {
        ASSERT_EQ(to_dom(tape->root()).dump(), dom.dump()) << bytes;
    }
}

TEST(JsonTape, ReadsAsNlohmannReads) {
    for (const char* text : {"null",
                             " true ",
                             "false",
                             "0",
                             "-0",
                             "1",
                             "-1",
                             "18446744073709551615",
                             "18446744073709551616",
                             "-9223372036854775808",
                             "-9223372036854775809",
                             "1.5",
                             "1e3",
                             "1E+3",
                             "-1.25e-3",
                             "0.1",
                             "5e-324",
                             "1.7976931348623157e308",
                             "01",
                             "-",
                             "+1",
                             ".5",
                             "1.",
                             "1e",
                             "1e+",
                             "0x1",
                             "nul",
                             "truex",
                             "\"\"",
                             "\"a\"",
                             "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
                             "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
                             "\"\\ud83d\"",
                             "\"\\ude00\"",
                             "\"\\ud83d\\u0041\"",
                             "\"\\u12\"",
                             "\"\\u12g4\"",
                             "\"\\u+123\"",
                             "\"\\x\"",
                             "\"\\",
                             "\"",
                             "\"a\nb\"",
                             "\"\x7f\"",
                             "\"\xc3\xa9\"",
                             "\"\xc3\"",
                             "\"\xc0\x80\"",
                             "\"\xed\xa0\x80\"",
                             "\"\xf4\x90\x80\x80\"",
                             "\"\xf0\x9f\x98\x80\"",
                             "[]",
                             "[ ]",
                             "[1]",
                             "[1,]",
                             "[,1]",
                             "[1 2]",
                             "[1",
                             "]",
                             "{}",
                             "{ }",
                             "{\"a\":1}",
                             "{\"a\":1,}",
                             "{\"a\"}",
                             "{a:1}",
                             "{\"a\" 1}",
                             "{\"a\":}",
                             "{\"a\":1 \"b\":2}",
                             "{\"a\":{\"b\":[1,{\"c\":null}]}}",
                             "",
                             " ",
                             "\xef\xbb\xbf",
                             "1 2",
                             "[1]]",
                             "//",
                             "[1]/**/",
                             "\v1"}) {
        expect_as_nlohmann(text);
    }
}

TEST(JsonTape, ReadsMutatedTextAsNlohmannReads) {
    const char* text = std::getenv("PARTI_SEED");
    const std::uint64_t seed = text == nullptr ? 20240607 : std::strtoull(text, nullptr, 0);
    SCOPED_TRACE(testing::Message() << "replay: PARTI_SEED=" << seed
                                    << " parti_assign_test --gtest_filter=JsonTape.ReadsMutatedTextAsNlohmannReads");
    base::Rng rng(seed);
    const std::string sample =
        "{\"v\":1,\"w\":\"0f\\u00e9\\ud83d\\ude00\\n\",\"list\":[0,-1,1.5e3,[\"a.b\",17],{}],\"deep\":{\"x\":[null,true,false]},"
        "\"\xc3\xa9\":18446744073709551615 }";
    constexpr std::string_view kAlphabet = "{}[]\",:0129-+eE.\\u/ntrfals d8 \n\x01\xc3\xa9\xed\xf0\xff";
    int read = 0;
    for (int round = 0; round < 20'000; ++round) {
        std::string bytes = sample;
        for (std::uint64_t edits = 1 + rng.below(3); edits > 0 && !bytes.empty(); --edits) {
            const std::size_t at = rng.below(bytes.size());
            const char c = kAlphabet[rng.below(kAlphabet.size())];
            switch (rng.below(4)) {
                case 0: bytes[at] = c; break;
                case 1: bytes.insert(at, 1, c); break;
                case 2: bytes.erase(at, 1 + rng.below(6)); break;
                default: bytes.insert(at, bytes.substr(rng.below(bytes.size()), rng.below(24))); break;
            }
        }
        expect_as_nlohmann(bytes);
        if (testing::Test::HasFailure()) FAIL() << "round " << round;
        read += nlohmann::json::accept(bytes) ? 1 : 0;
    }
    EXPECT_GT(read, 500);
    EXPECT_LT(read, 19'000);
}

TEST(JsonTape, SaysWhatIsMissingAndWhere) {
    const std::pair<std::string, std::string_view> cases[] = {
        {"{\"a\":1,\n \"b\" 2}", "':' is missing at line 2, column 6 (byte 14)"},
        {"[1", "',' or ']' is missing at line 1, column 3 (byte 3)"},
        {"{\"a\":1", "',' or '}' is missing at line 1, column 7"},
        {"", "a value is missing at line 1, column 1 (byte 1)"},
        {"1e999", "a number is out of range"},
        {std::string(33, '['), "nested more than 32 levels deep at line 1, column 33"},
    };
    for (const auto& [bytes, says] : cases) {
        const auto tape = Tape::parse(bytes);
        ASSERT_FALSE(tape) << bytes;
        EXPECT_EQ(tape.error().code, Errc::malformed_record);
        EXPECT_NE(tape.error().detail.find(says), std::string::npos) << tape.error().detail;
    }
    EXPECT_TRUE(Tape::parse(std::string(32, '[') + std::string(32, ']')));
}

TEST(Utf8, IsWhatNlohmannTakes) {
    base::Rng rng(1);
    for (int round = 0; round < 50'000; ++round) {
        std::string bytes;
        for (std::uint64_t i = 1 + rng.below(4); i > 0; --i)
            bytes += static_cast<char>(rng.chance(1, 8) ? 'a' : rng.between(0x80, 0xff));
        ASSERT_EQ(base::is_utf8(bytes), nlohmann::json::accept("\"" + bytes + "\"")) << testing::PrintToString(bytes);
    }
    for (std::uint32_t lead = 0xC0; lead <= 0xFF; ++lead) {  // every lead with every second byte
        for (std::uint32_t second = 0x7F; second <= 0xC0; ++second) {
            const std::string bytes = {static_cast<char>(lead), static_cast<char>(second), '\x80', '\x80'};
            for (std::size_t length = 1; length <= 4; ++length) {
                const std::string part = bytes.substr(0, length);
                ASSERT_EQ(base::is_utf8(part), nlohmann::json::accept("\"" + part + "\"")) << testing::PrintToString(part);
            }
        }
    }
}

TEST(Partition, MustBeUtf8) {
    EXPECT_TRUE(Partition::from_id("caf\xc3\xa9"));
    const auto bad = Partition::from_id("caf\xe9");
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().detail, "a partition key is not UTF-8; records and subjects are");
}

}  // namespace
}  // namespace parti::wire
