# The pure parts of test/testutil's process side.
add_executable(testutil_proc_test log_scan_test.cpp memory_probe_test.cpp server_monitor_test.cpp)
target_link_libraries(testutil_proc_test PRIVATE parti_options parti_testproc GTest::gtest_main)
gtest_discover_tests(testutil_proc_test DISCOVERY_MODE PRE_TEST PROPERTIES LABELS unit TIMEOUT 30)
