# Codec, configuration, strategies.
find_package(nlohmann_json 3.9 REQUIRED)  # the oracle of the JSON tests
add_executable(parti_assign_test
  bounded_hash_test.cpp codec_test.cpp config_test.cpp connect_options_test.cpp json_tape_test.cpp sticky_steps_test.cpp
  sticky_test.cpp strategy_test.cpp)
target_link_libraries(parti_assign_test PRIVATE
  parti_options parti_base parti_assign parti_wire nlohmann_json::nlohmann_json GTest::gtest_main)
parti_gtest(parti_assign_test LABELS unit TIMEOUT 60)

add_executable(parti_planner_test planner_test.cpp)
target_link_libraries(parti_planner_test PRIVATE parti_options parti_core parti_assign parti_base GTest::gtest_main)
parti_gtest(parti_planner_test LABELS unit TIMEOUT 60)
