# What operators and observers are told: group status, drain lists, changes under lost answers, the counters of a core.
find_package(fmt REQUIRED)
add_executable(operator_unit_test control_change_test.cpp core_metrics_test.cpp group_status_test.cpp)
target_include_directories(operator_unit_test PRIVATE "${PROJECT_SOURCE_DIR}/lib")
target_link_libraries(operator_unit_test PRIVATE parti_options parti GTest::gtest_main)
parti_gtest(operator_unit_test LABELS unit TIMEOUT 60)
