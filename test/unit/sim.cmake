# The hub over the simulated client, and the simulated world's judge and totals.
add_executable(parti_hub_tests hub_test.cpp hub_turns_test.cpp invariants_test.cpp sim_totals_test.cpp)
target_link_libraries(parti_hub_tests PRIVATE parti_hub parti_wire parti_testworld parti_testsim parti_base GTest::gtest_main parti_options)
parti_gtest(parti_hub_tests LABELS unit TIMEOUT 60 PER_PROGRAM)
