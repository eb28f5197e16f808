# Sources that watch NATS, on a real nats-server.
find_package(nlohmann_json 3.9 REQUIRED)
find_package(natsc REQUIRED)
add_executable(sources_nats_test
  raw_nats.cpp
  sources_fixture.cpp
  sources_fault_test.cpp
  sources_kv_test.cpp
  sources_stream_test.cpp
  worker_fixture.cpp)
target_link_libraries(sources_nats_test PRIVATE parti_options parti parti::natsc nlohmann_json::nlohmann_json GTest::gtest_main
  Threads::Threads)
target_compile_definitions(sources_nats_test PRIVATE "PARTI_WORKER_HOST_FILE=\"$<TARGET_FILE:worker-host>\"")
target_compile_options(sources_nats_test PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")  # GCC 12's bug 105651
parti_use_nats_server(sources_nats_test)
add_dependencies(sources_nats_test worker-host)
parti_gtest(sources_nats_test LABELS integration TIMEOUT 120)
