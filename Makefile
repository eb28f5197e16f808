# Thin: what is installed is decided by tools/setup.sh, how it is built by CMakePresets.json, what is run by ctest's labels.
SHELL := /bin/bash
JOBS ?= $(shell nproc)
PROFILE ?= standard
.DEFAULT_GOAL := help
.PHONY: help setup newserver test simulation stress report browser-test tsan bench alarms leak-alarm proof nightly profile pull-request ab baseline baseline-runs baseline-pull comment stale contract summary check format tidy clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

setup: ## install the Debian packages that are missing (starts no service)
	@tools/setup.sh

newserver: setup ## fetch a newer nats-server for the tests that need one (best effort, cached)
	@tools/fetch-nats-server.sh $(if $(filter 1,$(PARTI_SKIP_SETUP)),--cached) >/dev/null || echo "tests that need a newer nats-server will be skipped"

# $(call build,preset,more options of cmake,what to build: everything)
define build
	@echo "== $(1): configure and build in build/$(1) (-j$(JOBS))"
	@mkdir -p build/$(1)
	@cmake --preset $(1) $(2) >build/$(1)/configure.log 2>&1 || { cat build/$(1)/configure.log; exit 1; }
	@cmake --build --preset $(1) -j $(JOBS) $(if $(3),--target $(3))
endef

test: newserver ## build with ASan and UBSan, run every fast test
	$(call build,asan)
	@ctest --preset asan

tsan: newserver ## build with TSan, run the unit and integration tests
	$(call build,tsan)
	@ctest --preset tsan

simulation: setup ## build Release, simulate for an hour (MINUTES=60), with seeds that no other day has seen
	$(call build,release,,simulate)
	@build/release/test/simulation/simulate --minutes $(or $(MINUTES),60) --jobs $(JOBS) --first "$$(date +%Y%m%d)000000"

stress: newserver ## build Release, run the stress suite, compare with the baseline (PROFILE=smoke standard nightly soak soak4h; DASHBOARD=PORT: a live page)
	$(call build,release,-DPARTI_STRESS_PROFILE=$(PROFILE),parti_stress_programs)
	@STRESS_DASHBOARD="$(DASHBOARD)" tools/stress.sh build/release

report: ## write the last run's report again: build/release/stress-results/report.html
	@[ -x build/release/test/cmd/stress-report/stress-report ] || { echo "nothing was built in build/release: run make stress first" >&2; exit 1; }
	@build/release/test/cmd/stress-report/stress-report report build/release/stress-results --html build/release/stress-results/report.html

browser-test: setup ## install Chromium (300 MB) and look at the report and the live page with it
	@tools/setup.sh --only chromium fonts-dejavu-core
	@mkdir -p build/release
	@cmake --preset release >build/release/configure.log 2>&1 || { cat build/release/configure.log; exit 1; }
	@cmake --build --preset release -j $(JOBS) --target stress-report
	@PARTI_NEED_BROWSER=1 ctest --test-dir build/release -L '^browser$$' --no-tests=error --output-on-failure

bench: setup ## build Release, run the microbenchmarks, compare with the run before (BENCH_BASE=F: with another)
	$(call build,release)
	@tools/bench.sh build/release

baseline: setup ## make the last three runs the new baseline: make baseline REASON="why it changed"
	@[ -n "$$REASON" ] || { echo 'say why: make baseline REASON="..."' >&2; exit 1; }
	$(call build,release,,stress-report)
	@build/release/test/cmd/stress-report/stress-report promote --reason "$$REASON"

alarms: newserver ## the suite's own alarms, in the build that is measured: self-tests, a 16-byte leak, then the proof
	$(call build,release)
	@ctest --test-dir build/release -L '^selftest$$' --no-tests=error --output-on-failure -j 1
	@$(MAKE) --no-print-directory leak-alarm PARTI_SKIP_SETUP=1
	@$(MAKE) --no-print-directory proof PARTI_SKIP_SETUP=1

# Not through ctest: it has these tests in some profiles only, and one finding in profile standard.
leak-alarm: newserver ## a leak of 16 bytes must be found 20 times of 20 (RUNS=20), with 10 and with 50 workers (2 minutes)
	$(call build,release,,parti_leak_tests)
	@PARTI_STRESS_PROFILE=nightly PARTI_LEAK_ALARMS=$(or $(RUNS),20) \
		build/release/test/stress/parti_leak_tests --gtest_filter='TestExactLeakAlarm.*'

# One folder for each commit and worker-host: a later call goes on where an earlier one was interrupted.
proof: newserver ## 20 unchanged runs and 20 with 15 % more memory (RUNS=20), of two fleets (CASES="10w_100p 50w_500p"): none and all must fail (40 minutes)
	$(call build,release,,parti_stress_programs)
	@test/stress/alarm_proof.py build/release/test/cmd/stress-report/stress-report build/release/test/stress/parti_memory_tests \
		"build/release/stress-proof/$$(git rev-parse --short=12 HEAD)-$$(sha256sum build/release/test/cmd/worker-host/worker-host | cut -c 1-8)" \
		$(if $(RUNS),--runs $(RUNS)) $(foreach case,$(CASES),--case $(case))

nightly: newserver ## what the nightly workflow runs: TYPE=all memory scale scenario selftest, PROFILE as for stress
	@tools/nightly.sh build/release

profile: setup ## a rerun with a profiler on the workers: make profile TEST=Launches/10w_100p KIND=cpu (or heap)
	$(call build,release,,parti_stress_programs)
	@tools/profile.sh build/release

ab: setup ## this build's memory against the merge base's, launches taking turns (BASE_REF=main)
	$(call build,release,,parti_stress_programs)
	@tools/ab.sh build/release

pull-request: newserver ## what the pull request workflow runs
	@tools/pull-request.sh build/release

baseline-runs: newserver ## the three runs that make baseline needs; differences from the present one are meant
	@tools/baseline-runs.sh build/release

baseline-pull: ## in GitHub Actions: the new baseline as a pull request
	@tools/setup.sh --only git python3
	@tools/baseline-pull.sh

comment: ## in GitHub Actions: the summary as a comment on the pull request
	@tools/setup.sh --only python3
	@mkdir -p build
	@tools/summary.sh build/release >build/comment.md
	@tools/github.py comment build/comment.md

stale: ## in GitHub Actions: fails, and opens an issue, when the last good nightly run is too old
	@tools/setup.sh --only python3
	@tools/github.py stale

contract: setup ## hold a worker program to docs/WORKER-CONTRACT.md: make contract WORKER=PATH (default: worker-host)
	$(call build,release,,contract-check worker-host minimal-worker)
	@build/release/test/cmd/contract-check/contract-check $(or $(WORKER),build/release/test/cmd/worker-host/worker-host)

summary: ## print the last results as Markdown (in GitHub Actions: into the job's summary)
	@tools/summary.sh build/release

check: setup ## the rules that need no compiler (also part of make test)
	@tools/check.py
	@tools/lint.py

format: ## lay out all C++ as .clang-format says (clang-format 14, Debian 12's)
	@command -v clang-format >/dev/null || { echo "clang-format is missing: apt-get install clang-format" >&2; exit 1; }
	@git ls-files -z --cached --others --exclude-standard -- '*.h' '*.cpp' | xargs -0 -n 20 -P $(JOBS) clang-format -i

tidy: setup ## clang-tidy over all sources of the library
	@command -v run-clang-tidy >/dev/null || { echo "run-clang-tidy is missing: apt-get install clang-tidy" >&2; exit 1; }
	$(call build,release)
	@run-clang-tidy -quiet -p build/release -j $(JOBS) "$(CURDIR)/lib/.*"

clean: ## remove build/
	rm -rf build
