// Google Benchmark's main, plus the fingerprint that lets stress-report tell what may be compared.
#include <benchmark/benchmark.h>

#include "testutil/fingerprint.h"

int main(int argc, char** argv) {
    benchmark::AddCustomContext("parti_fingerprint", parti::report::to_text(parti::report::local_fingerprint()));
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 104;
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
