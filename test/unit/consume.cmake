# Consumption without a server: names, what is settled, what a lane may begin and send.
find_package(natsc REQUIRED)
find_package(fmt REQUIRED)
add_executable(consume_unit_test consume_flow_test.cpp consume_lane_test.cpp consume_naming_test.cpp consume_runner_test.cpp)
target_include_directories(consume_unit_test PRIVATE "${PROJECT_SOURCE_DIR}/lib")
target_link_libraries(consume_unit_test PRIVATE parti_options parti parti::natsc fmt::fmt GTest::gtest_main)
parti_gtest(consume_unit_test LABELS unit TIMEOUT 60)
