# Codec, configuration, strategies.
add_executable(parti_assign_test codec_test.cpp)
target_link_libraries(parti_assign_test PRIVATE parti_options parti_base parti_wire GTest::gtest_main)
parti_gtest(parti_assign_test LABELS unit TIMEOUT 60)
