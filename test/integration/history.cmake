# Real and simulated histories under one judge.
add_executable(history_check_test history_check_test.cpp)
target_link_libraries(history_check_test PRIVATE parti_testscenario parti_options GTest::gmock GTest::gtest_main)
target_compile_definitions(history_check_test PRIVATE "PARTI_HISTORY_CHECK_FILE=\"$<TARGET_FILE:history-check>\"")
parti_use_fleet(history_check_test)
add_dependencies(history_check_test history-check)
parti_gtest(history_check_test LABELS integration TIMEOUT 120)
