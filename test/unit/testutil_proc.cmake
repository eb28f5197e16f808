# The pure parts of test/testutil's process side.
add_executable(testutil_proc_test log_scan_test.cpp memory_probe_test.cpp server_monitor_test.cpp)
target_link_libraries(testutil_proc_test PRIVATE parti_options parti_testproc GTest::gtest_main)
target_compile_options(testutil_proc_test PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")  # GCC 12's bug 105651
gtest_discover_tests(testutil_proc_test DISCOVERY_MODE PRE_TEST PROPERTIES LABELS unit TIMEOUT 30)
