# Operators' commands and metrics, on a real server with real workers.
find_package(nlohmann_json 3.9 REQUIRED)
find_package(natsc REQUIRED)
add_executable(operator_test
  control_fault_test.cpp
  control_test.cpp
  metrics_test.cpp
  operator_fixture.cpp
  partictl_test.cpp
  raw_nats.cpp
  takeover_test.cpp
  worker_fixture.cpp)
target_link_libraries(operator_test PRIVATE parti_options parti parti::natsc nlohmann_json::nlohmann_json GTest::gtest_main Threads::Threads)
target_compile_definitions(operator_test PRIVATE "PARTI_WORKER_HOST_FILE=\"$<TARGET_FILE:worker-host>\""
  "PARTI_PARTICTL_FILE=\"$<TARGET_FILE:partictl>\"")
target_compile_options(operator_test PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")  # GCC 12's bug 105651
parti_use_nats_server(operator_test)
add_dependencies(operator_test worker-host partictl)
parti_gtest(operator_test LABELS integration TIMEOUT 120)
