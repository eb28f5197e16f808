# Workers and server on a small machine, and the proof that its limits are limits.
parti_stress_program(parti_constrained_tests constrained_test.cpp)
target_compile_definitions(parti_constrained_tests PRIVATE "PARTI_LAUNCHER_FILE=\"$<TARGET_FILE:nats-server-launcher>\"")
parti_add_stress_tests(parti_constrained_tests)

add_executable(limit-holder limit_holder.cpp)
target_link_libraries(limit-holder PRIVATE parti_options parti_testproc)
add_executable(stress_limits_selftest limits_selftest.cpp)
target_link_libraries(stress_limits_selftest PRIVATE parti_options parti_testproc GTest::gtest_main)
target_compile_definitions(stress_limits_selftest PRIVATE "PARTI_LIMIT_HOLDER_FILE=\"$<TARGET_FILE:limit-holder>\"")
add_dependencies(stress_limits_selftest limit-holder)
parti_gtest(stress_limits_selftest LABELS selftest TIMEOUT 120)
