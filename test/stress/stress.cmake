# The suite's programs. The measured ones are registered by stress_fixtures.cmake, the fast ones are part of `make test`.
find_package(GTest REQUIRED)
find_package(natsc REQUIRED)

# The frame of all of them.
find_package(nlohmann_json 3.9 REQUIRED)
add_library(parti_stress STATIC launch.cpp launch_test.cpp progress.cpp soak_watch.cpp stress_test.cpp)
target_compile_definitions(parti_stress PRIVATE "PARTI_STRESS_KEPT=\"${PROJECT_BINARY_DIR}/stress-failures\"")
target_link_libraries(parti_stress PUBLIC parti_testfleet parti_testresults parti_testbudget parti_testpreflight GTest::gtest
  PRIVATE parti_options nlohmann_json::nlohmann_json)

function(parti_stress_program target)
  add_executable(${target} ${ARGN})
  parti_use_fleet(${target})
  target_link_libraries(${target} PRIVATE parti_options parti_stress)
endfunction()

parti_stress_program(parti_memory_tests embedded_test.cpp memory_test.cpp)
parti_stress_program(parti_overhead_tests overhead.cpp overhead_test.cpp)
parti_stress_program(parti_leak_tests exact_leak_alarm_test.cpp exact_leak_test.cpp soak_test.cpp)
parti_stress_program(parti_scale_tests churn_test.cpp cluster_test.cpp process_fleet_test.cpp rapid_scaling_test.cpp)
parti_stress_program(parti_conflict_tests conflict_storm_test.cpp)
target_link_libraries(parti_conflict_tests PRIVATE parti::parti)  # its operators' commands; the workers are processes of their own
parti_stress_program(parti_stress_smoke smoke_test.cpp)
parti_add_stress_tests(parti_memory_tests)
parti_add_stress_tests(parti_overhead_tests)  # after the launches that it takes from the program above; gtest would run it before them
parti_add_stress_tests(parti_leak_tests)
parti_add_stress_tests(parti_scale_tests)
parti_add_stress_tests(parti_conflict_tests)
parti_add_stress_tests(large_stress_test)  # of test/integration
parti_gtest(parti_stress_smoke LABELS smoke TIMEOUT 60)
# The same over the second program that keeps the worker contract.
add_dependencies(parti_stress_smoke minimal-worker)
add_test(NAME smoke_minimal_worker COMMAND parti_stress_smoke)
set_tests_properties(smoke_minimal_worker PROPERTIES LABELS smoke TIMEOUT 60
  ENVIRONMENT "PARTI_STRESS_WORKER=${PROJECT_BINARY_DIR}/test/cmd/minimal-worker/minimal-worker")

add_executable(progress_test progress_test.cpp)
target_link_libraries(progress_test PRIVATE parti_options parti_stress nlohmann_json::nlohmann_json)
parti_gtest(progress_test LABELS unit TIMEOUT 60)

# One process for all its cases: they are one run.
parti_stress_program(stress_records_selftest overhead.cpp own_run.cpp records_selftest.cpp)
target_compile_definitions(stress_records_selftest PRIVATE "STRESS_REPORT=\"$<TARGET_FILE:stress-report>\"")
target_link_libraries(stress_records_selftest PRIVATE GTest::gmock nlohmann_json::nlohmann_json)
add_dependencies(stress_records_selftest stress-report)
add_test(NAME stress_records_selftest COMMAND stress_records_selftest)
set_tests_properties(stress_records_selftest PROPERTIES LABELS selftest TIMEOUT 60)

add_executable(stress_oracle_selftest oracle_selftest.cpp)
parti_use_fleet(stress_oracle_selftest)
target_link_libraries(stress_oracle_selftest PRIVATE parti_options parti::natsc GTest::gmock GTest::gtest_main)
parti_gtest(stress_oracle_selftest LABELS selftest TIMEOUT 120)

# Must fail: shows that a failure is seen.
add_executable(parti_canary canary_test.cpp)
target_link_libraries(parti_canary PRIVATE parti_options parti_testfleet GTest::gtest_main)
add_test(NAME parti_canary COMMAND parti_canary)
set_tests_properties(parti_canary PROPERTIES LABELS selftest TIMEOUT 60 WILL_FAIL TRUE)

# The soak's alarm: a leak of 500 kB with every change must be found, in two parts of 15 s and one of half that. A test of its own, since
# the profiles' budgets have no room for it; skipped, with the reason, where memory is not measured.
add_test(NAME parti_soak_selftest COMMAND parti_leak_tests "--gtest_filter=TestMemoryBenchmark_Soak.Churn")
set_tests_properties(parti_soak_selftest PROPERTIES LABELS selftest TIMEOUT 150 SKIP_REGULAR_EXPRESSION "\\[  SKIPPED \\]"
  ENVIRONMENT "PARTI_SOAK_MINUTES=0.25;PARTI_SOAK_LEAK=500000")

# The alarm from end to end, where memory is measured: an optimised build without sanitizers.
set(counted_only "")
if(PARTI_SANITIZE OR CMAKE_BUILD_TYPE STREQUAL "Debug")
  set(counted_only COUNTED_ONLY)
endif()
find_program(PARTI_PYTHON python3 REQUIRED)
parti_add_stress_command(stress_alarm BUDGET standard 75 nightly 75 ${counted_only}
  COMMAND "${PARTI_PYTHON}" "${CMAKE_CURRENT_SOURCE_DIR}/alarm_test.py" "$<TARGET_FILE:stress-report>"
  "$<TARGET_FILE:parti_memory_tests>" "${PROJECT_BINARY_DIR}/stress-alarm"
  PROPERTIES FIXTURES_REQUIRED stress_run)
