# Records beyond the payload limit: their bytes.
add_executable(parti_packed_tests packed_test.cpp)
target_link_libraries(parti_packed_tests PRIVATE parti_options parti_base parti_wire GTest::gtest_main)
parti_gtest(parti_packed_tests LABELS unit TIMEOUT 60)

# Their way through the hub.
add_executable(parti_hub_chunks_tests hub_chunks_test.cpp hub_chunks_fire_test.cpp
  "${PROJECT_SOURCE_DIR}/test/testutil/sim_records.cpp")
target_link_libraries(parti_hub_chunks_tests PRIVATE parti_hub parti_wire parti_testsim parti_base GTest::gtest_main parti_options)
parti_gtest(parti_hub_chunks_tests LABELS unit TIMEOUT 120)
