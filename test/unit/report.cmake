# Result files, fingerprints, verdicts, baselines and stress-report.
find_package(nlohmann_json 3.9 REQUIRED)

add_executable(report_test report_fingerprint_test.cpp report_statistics_test.cpp report_files_test.cpp report_diff_test.cpp
  report_promote_test.cpp report_benchmark_test.cpp report_confirm_test.cpp report_criteria_test.cpp report_sessions_test.cpp
  report_trend_test.cpp report_details_test.cpp)
target_compile_definitions(report_test PRIVATE CRITERIA_FILE="${PROJECT_SOURCE_DIR}/test/stress/criteria.json")
target_link_libraries(report_test PRIVATE parti_testresults parti_testproc parti_options parti_base nlohmann_json::nlohmann_json GTest::gtest_main)
parti_gtest(report_test LABELS unit TIMEOUT 120)

# The alarm itself: does it ring when it must, and only then? Through the real program, and through ctest.
add_executable(report_fake_stress report_fake_stress.cpp)
target_link_libraries(report_fake_stress PRIVATE parti_testresults parti_testbudget parti_options)

add_executable(report_selftest report_alarm_test.cpp report_program_test.cpp report_ctest_test.cpp report_recorded_test.cpp
  report_leak_test.cpp report_stall_test.cpp)
target_link_libraries(report_selftest PRIVATE parti_testresults parti_testload parti_testproc parti_options parti_base nlohmann_json::nlohmann_json
  GTest::gtest_main)
target_compile_definitions(report_selftest PRIVATE
  RECORDINGS="${PROJECT_SOURCE_DIR}/test/stress/recordings"
  STRESS_REPORT="$<TARGET_FILE:stress-report>"
  FAKE_STRESS="$<TARGET_FILE:report_fake_stress>"
  STRESS_PROJECT="${CMAKE_CURRENT_SOURCE_DIR}/report_project"
  STRESS_FIXTURES="${PROJECT_SOURCE_DIR}/test/stress/stress_fixtures.cmake"
  CMAKE_PROGRAM="${CMAKE_COMMAND}" CTEST_PROGRAM="${CMAKE_CTEST_COMMAND}" CMAKE_GENERATOR_NAME="${CMAKE_GENERATOR}"
  OUR_BUILD_FOLDER="${PROJECT_BINARY_DIR}")
add_dependencies(report_selftest stress-report report_fake_stress)
parti_gtest(report_selftest LABELS selftest TIMEOUT 180)
