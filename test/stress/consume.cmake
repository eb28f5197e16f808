# Consumption under load and chaos.
find_package(nlohmann_json 3.9 REQUIRED)
add_library(parti_scenario STATIC scenario.cpp scenario_figures.cpp)
target_link_libraries(parti_scenario PUBLIC parti_stress parti_testload PRIVATE parti_options nlohmann_json::nlohmann_json)
target_compile_definitions(parti_scenario PRIVATE "PARTI_STRESS_KEPT=\"${PROJECT_BINARY_DIR}/stress-failures\"")

parti_stress_program(parti_scenario_tests combined_test.cpp load_scenarios_test.cpp)
target_link_libraries(parti_scenario_tests PRIVATE parti_scenario)
parti_add_stress_tests(parti_scenario_tests)

parti_stress_program(parti_stall_selftest stall_selftest.cpp)
target_link_libraries(parti_stall_selftest PRIVATE parti_scenario)
parti_gtest(parti_stall_selftest LABELS selftest TIMEOUT 120)

# One process for all its cases: they are one run.
parti_stress_program(parti_scenario_selftest own_run.cpp scenario_selftest.cpp)
target_compile_definitions(parti_scenario_selftest PRIVATE CRITERIA_FILE="${CMAKE_CURRENT_SOURCE_DIR}/criteria.json")
target_link_libraries(parti_scenario_selftest PRIVATE parti_scenario GTest::gmock)
parti_gtest(parti_scenario_selftest LABELS selftest TIMEOUT 60 PER_PROGRAM)

parti_stress_program(parti_consume_smoke consume_smoke_test.cpp)
target_link_libraries(parti_consume_smoke PRIVATE parti_scenario)
parti_gtest(parti_consume_smoke LABELS smoke TIMEOUT 120)
