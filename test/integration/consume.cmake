# Consumers on a real nats-server.
find_package(nlohmann_json 3.9 REQUIRED)
find_package(natsc REQUIRED)
add_executable(consume-child consume_child.cpp)
target_link_libraries(consume-child PRIVATE parti_options parti::parti)
add_executable(consume_test
  consume_fixture.cpp
  consume_example_test.cpp
  consume_fault_test.cpp
  consume_handler_test.cpp
  consume_handoff_test.cpp
  consume_metrics_test.cpp
  consume_place_test.cpp
  consume_start_test.cpp
  consume_stats_test.cpp
  consume_worker_mode_test.cpp
  raw_nats.cpp
  worker_fixture.cpp)
target_link_libraries(consume_test PRIVATE parti_options parti parti::natsc nlohmann_json::nlohmann_json GTest::gtest_main Threads::Threads)
target_compile_definitions(consume_test PRIVATE "PARTI_WORKER_HOST_FILE=\"$<TARGET_FILE:worker-host>\""
  "PARTI_FENCED_PROGRESS_FILE=\"$<TARGET_FILE:fenced_progress>\""
  "PARTI_CONSUME_CHILD_FILE=\"$<TARGET_FILE:consume-child>\"")
target_compile_options(consume_test PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")  # GCC 12's bug 105651
parti_use_nats_server(consume_test)
add_dependencies(consume_test worker-host consume-child fenced_progress consume)
parti_gtest(consume_test LABELS integration TIMEOUT 120)
parti_new_server_test(consume_test FILTER "ConsumeExample.*:ConsumeFaults.*:ConsumeHandlers.*:ConsumeHandoff.*:ConsumeStats.*:*ConsumePlace.*" LABELS integration TIMEOUT 240)
