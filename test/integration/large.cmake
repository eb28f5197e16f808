# Large groups on a real nats-server.
add_executable(large_test large_group_test.cpp raw_nats.cpp watch_heal_test.cpp worker_fixture.cpp)
target_link_libraries(large_test PRIVATE parti_options parti parti::natsc nlohmann_json::nlohmann_json GTest::gtest_main Threads::Threads)
target_include_directories(large_test PRIVATE "${PROJECT_SOURCE_DIR}/lib")  # base/rng.h
target_compile_definitions(large_test PRIVATE "PARTI_WORKER_HOST_FILE=\"$<TARGET_FILE:worker-host>\"")
target_compile_options(large_test PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")  # GCC 12's bug 105651
parti_use_nats_server(large_test)
add_dependencies(large_test worker-host)
parti_gtest(large_test LABELS integration TIMEOUT 300)
