// The command partictl: what it prints, what it ends with.
#include <fstream>
#include <sstream>

#include "operator_fixture.h"
#include "raw_nats.h"

namespace parti::test {
namespace {

using namespace std::chrono_literals;
using Args = std::vector<std::string>;

struct Ran {
    std::optional<int> code;
    std::string out;
    std::string err;
};

class Partictl : public OperatorTest {
protected:
    Ran run(const Args& args) {
        const std::string err_path = folder_->path() + "/err" + std::to_string(++runs_);
        ProcessOptions options;
        options.path = PARTI_PARTICTL_FILE;
        options.args = args;
        options.stdin_pipe = false;
        options.stderr_file = err_path;
        auto process = ChildProcess::start(std::move(options));
        Ran ran;
        EXPECT_TRUE(process) << process.error();
        if (!process) return ran;
        for (LineRead line = process->read_line(kPatience); line.state == ReadState::line; line = process->read_line(kPatience)) {
            ran.out += line.text + "\n";
        }
        const auto status = process->wait(kPatience);
        EXPECT_TRUE(status && status->code) << "it did not end by itself";
        if (status) ran.code = status->code;
        std::ostringstream text;
        text << std::ifstream(err_path).rdbuf();
        ran.err = text.str();
        return ran;
    }
    Ran command(const Args& words) {
        Args args = {"--server", server_->url(), "--group", "g"};
        args.insert(args.end(), words.begin(), words.end());
        return run(args);
    }

private:
    int runs_ = 0;
};

TEST_F(Partictl, SteersAGroup) {
    Context context = connect();
    Config named = config();
    named.instance = "pod-a";
    Worker a = started(context, source(6), named);
    ASSERT_TRUE(eventually([&] { return covered({&a}, 6); }));
    Worker b = started(context, source(6), config());
    ASSERT_TRUE(eventually([&] { return owns({&a, &b}, {3, 3}); }));

    for (const Args& words :
         {Args{"freeze"}, Args{"drain", "pod-a"}, Args{"drain", "pod-x", "--in-advance"}, Args{"rebalance"}, Args{"refresh"}}) {
        const Ran ran = command(words);
        EXPECT_EQ(ran.code, 0) << words[0] << ": " << ran.err;
        EXPECT_EQ(ran.out + ran.err, "");
    }
    ASSERT_TRUE(eventually([&] { return owns({&a, &b}, {0, 6}); }));
    const Ran text = command({"status"});
    EXPECT_EQ(text.code, 0) << text.err;
    for (const std::string part : {"group g: epoch ", "leader worker ", "policy relinquish, frozen",
                                   "partitions 6, without owner 0; drain list: pod-a, pod-x", "worker  lease", "pod-a"}) {
        EXPECT_NE(text.out.find(part), std::string::npos) << part << " is not in:\n" << text.out;
    }
    const auto json = nlohmann::json::parse(command({"status", "--json"}).out, nullptr, false);
    ASSERT_TRUE(json.is_object());
    EXPECT_EQ(json.at("frozen"), true);
    EXPECT_EQ(json.at("phase"), "Frozen");
    EXPECT_EQ(json.at("leader"), a.number()->value);
    ASSERT_EQ(json.at("workers").size(), 2U);
    EXPECT_EQ(json.at("workers")[0].at("drained").get<bool>() + json.at("workers")[1].at("drained").get<bool>(), 1);

    for (const Args& words :
         {Args{"unfreeze"}, Args{"undrain", std::to_string(a.number()->value)}, Args{"undrain", "pod-x"}, Args{"reset"}}) {
        EXPECT_EQ(command(words).code, 0) << words[0];
    }
    EXPECT_TRUE(eventually([&] { return owns({&a, &b}, {3, 3}); }));
}

TEST_F(Partictl, RefusesBadUsageNamingTheValueAndTheRule) {
    const std::pair<Args, std::string> cases[] = {
        {{}, "a command is missing"},
        {{"status"}, "--group is missing"},
        {{"--group", "g", "sattus"}, "unknown command 'sattus'; it must be status,"},
        {{"--group", "g", "drain"}, "'drain' needs a NAME"},
        {{"--group", "g", "freeze", "now"}, "'now' after 'freeze': it takes no argument"},
        {{"--group", "g", "drain", "a", "b"}, "'b' after 'drain': it takes one NAME"},
        {{"--group", "g", "status", "--jsn"}, "unknown option '--jsn'"},
        {{"--group", "g", "freeze", "--json"}, "--json goes with status, not with 'freeze'"},
        {{"--group", "g", "undrain", "a", "--in-advance"}, "--in-advance goes with drain, not with 'undrain'"},
        {{"--group", "g", "status", "--timeout", "0"}, "--timeout '0' must be a whole number of seconds in 1..3600"},
        {{"--group", "g", "status", "--server"}, "--server needs a value"},
        {{"--group", "g", "--server", "", "status"}, "url"},
        {{"--group", "g", "--user", "u", "--token", "t", "status"}, "token"},
    };
    for (const auto& [args, says] : cases) {
        const Ran ran = run(args);
        EXPECT_EQ(ran.code, 2) << says << ": " << ran.err;
        EXPECT_NE(ran.err.find(says), std::string::npos) << "no '" << says << "' in: " << ran.err;
        EXPECT_EQ(ran.out, "");
    }
    const Ran help = run({"--help"});
    EXPECT_EQ(help.code, 0);
    EXPECT_NE(help.out.find("Exit codes: 0 done"), std::string::npos);
}

TEST_F(Partictl, ItsExitCodeTellsWhatWentWrong) {
    EXPECT_EQ(command({"status"}).code, 3) << "no such group";
    EXPECT_EQ(run({"--server", "nats://127.0.0.1:1", "--group", "g", "--timeout", "1", "status"}).code, 4)
        << "nobody listens there";
    Context context = connect();
    Worker a = started(context, source(2), config());
    ASSERT_TRUE(eventually([&] { return covered({&a}, 2); }));
    const Ran missing = command({"drain", "pod-a"});
    EXPECT_EQ(missing.code, 3);
    EXPECT_NE(missing.err.find("not_found: 'pod-a' is neither session, instance nor number of one of the 1 living workers"),
              std::string::npos)
        << missing.err;
    EXPECT_EQ(command({"drain", "two words"}).code, 2);
    auto raw = RawNats::connect(server_->url());
    ASSERT_TRUE(raw) << raw.error();
    ASSERT_TRUE(raw->put("parti_g_assignment", "control", "{"));
    EXPECT_EQ(command({"freeze"}).code, 5);
    const Ran text = command({"status"});
    EXPECT_NE(text.out.find("unreadable: parti_g_assignment control: malformed_record"), std::string::npos) << text.out;
    EXPECT_EQ(command({"reset"}).code, 0);
    EXPECT_EQ(command({"freeze"}).code, 0);
}

}  // namespace
}  // namespace parti::test
