// worker_contract: holds any program to docs/WORKER-CONTRACT.md and says, rule by rule, what it keeps and what it breaks.
//
// Role      For whoever brings a worker program of their own; and what keeps the document and the two programs here in agreement.
// Model     Runs the program a few times on the given server, alone, with three workers and twenty partitions, through every
//           command and end of the contract. A rule that cannot be tried because an earlier one is broken is not listed.
// Errors    Findings; never an exception.
// Threads   One thread at a time.
// Lifetime  Ends every process it started; its files are in a temp folder that goes.
// Cost      Some 5 s for a program that keeps the rules; a silent one takes each deadline.
#pragma once

#include <string>
#include <vector>

#include "testutil/worker_process.h"

namespace parti::test {

inline constexpr std::uint64_t kWorkerContract = 1;

struct ContractFinding {
    std::string rule;    // "ready", "start", "status", "ownership", "stats", "memory", "stop", "quit", "history", "bad_option",
                         // "unknown_command", "orphan"
    std::string broken;  // what it did instead; empty: kept
};

struct ContractDeadlines {
    Milliseconds answer{5000};
    Milliseconds settle{30000};  // start to covered
    Milliseconds end{20000};     // quit to exit
    Milliseconds orphan{5000};   // end of stdin to exit
};

std::vector<ContractFinding> check_worker_contract(const std::string& program, const std::string& url,
                                                   ContractDeadlines deadlines = {});
bool keeps_contract(const std::vector<ContractFinding>& findings);
std::string describe(const std::vector<ContractFinding>& findings);  // one line a rule

}  // namespace parti::test
