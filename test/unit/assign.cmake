# Codec, configuration, strategies.
find_package(nlohmann_json 3.9 REQUIRED)  # the oracle of the JSON tests
add_executable(parti_assign_test 
  codec_test.cpp config_test.cpp connect_options_test.cpp sticky_test.cpp strategy_test.cpp)
target_link_libraries(parti_assign_test PRIVATE parti_options parti_base parti_assign parti_wire nlohmann_json::nlohmann_json GTest::gtest_main)
# GCC 12 at -O3 takes `string = "x"` for an overlapping copy (its bug 105651).
target_compile_options(parti_assign_test PRIVATE $<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>)
gtest_discover_tests(parti_assign_test PROPERTIES LABELS unit DISCOVERY_TIMEOUT 60)
