# The pure parts of test/testutil's process side.
add_executable(testutil_proc_test log_scan_test.cpp memory_probe_test.cpp server_monitor_test.cpp)
target_link_libraries(testutil_proc_test PRIVATE parti_options parti_testproc GTest::gtest_main)

add_executable(preflight_test preflight_test.cpp)
target_link_libraries(preflight_test PRIVATE parti_options parti_testpreflight GTest::gmock GTest::gtest_main)
parti_gtest(preflight_test LABELS unit TIMEOUT 60)
gtest_discover_tests(testutil_proc_test DISCOVERY_MODE PRE_TEST PROPERTIES LABELS unit TIMEOUT 30)
