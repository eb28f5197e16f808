// contract-check: holds any worker program to the worker contract and prints, rule by rule, what it keeps and what it breaks.
//
// contract-check PROGRAM      Exit codes: 0 it keeps every rule, 1 it breaks one, 100 no server could be started, 104 usage.
#include <cstdio>

#include "testutil/nats_server.h"
#include "testutil/worker_contract.h"

int main(int argc, char** argv) {
    using namespace parti::test;
    if (argc != 2 || argv[1][0] == '-') {
        std::fprintf(stderr, "usage: contract-check PROGRAM; the rules are in docs/WORKER-CONTRACT.md\n");
        return 104;
    }
    auto server = NatsServer::start();
    if (!server) {
        std::fprintf(stderr, "contract-check: %s\n", server.error().c_str());
        return 100;
    }
    const auto findings = check_worker_contract(argv[1], server->url());
    std::printf("%s", describe(findings).c_str());
    const bool kept = keeps_contract(findings);
    std::printf("%s: %s version %llu of the worker contract\n", argv[1], kept ? "keeps" : "BREAKS",
                static_cast<unsigned long long>(kWorkerContract));
    return kept ? 0 : 1;
}
