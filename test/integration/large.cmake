# Large groups on a real nats-server: what fits a sanitized build, and the full size, which runs with the stress suite.
function(parti_large_test target)
  add_executable(${target} ${ARGN} raw_nats.cpp worker_fixture.cpp)
  target_link_libraries(${target} PRIVATE parti_options parti parti::natsc nlohmann_json::nlohmann_json GTest::gtest Threads::Threads)
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/lib")  # base/rng.h
  target_compile_definitions(${target} PRIVATE "PARTI_WORKER_HOST_FILE=\"$<TARGET_FILE:worker-host>\"")
  target_compile_options(${target} PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")  # GCC 12's bug 105651
  parti_use_nats_server(${target})
  add_dependencies(${target} worker-host)
endfunction()

parti_large_test(large_test large_group_test.cpp watch_heal_test.cpp)
target_link_libraries(large_test PRIVATE GTest::gtest_main)
parti_gtest(large_test LABELS integration TIMEOUT 300)
parti_large_test(large_stress_test large_stress_test.cpp)  # registered by test/stress
target_link_libraries(large_stress_test PRIVATE parti_testbudget)
