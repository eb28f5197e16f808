# The load generator's schedule, the ledger, and the recovery after a burst.
add_executable(parti_load_tests ledger_test.cpp load_plan_test.cpp recovery_test.cpp)
target_link_libraries(parti_load_tests PRIVATE parti_testload parti_options GTest::gtest_main)
parti_gtest(parti_load_tests LABELS unit TIMEOUT 60 PER_PROGRAM)
