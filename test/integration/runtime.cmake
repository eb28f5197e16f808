# Workers on a real nats-server, through the public API and as processes.
find_package(nlohmann_json 3.9 REQUIRED)
find_package(natsc REQUIRED)
add_executable(worker_test
  raw_nats.cpp
  worker_bad_input_test.cpp
  worker_basic_test.cpp
  worker_callbacks_test.cpp
  worker_connect_test.cpp
  worker_fault_test.cpp
  worker_fixture.cpp
  worker_host_test.cpp
  worker_stuck_test.cpp)
target_link_libraries(worker_test PRIVATE parti_options parti parti::natsc nlohmann_json::nlohmann_json GTest::gtest_main Threads::Threads)
target_compile_definitions(worker_test PRIVATE "PARTI_WORKER_HOST_FILE=\"$<TARGET_FILE:worker-host>\"")
target_compile_options(worker_test PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")  # GCC 12's bug 105651
parti_use_nats_server(worker_test)
add_dependencies(worker_test worker-host)
parti_gtest(worker_test LABELS integration TIMEOUT 120)
parti_new_server_test(worker_test FILTER "WorkerBasics.*:WorkerFaults.*:BadInput.*" LABELS integration TIMEOUT 240)

# Below the public API.
find_package(fmt REQUIRED)
find_package(Boost 1.74 REQUIRED)
add_executable(connection_test connection_test.cpp)
target_include_directories(connection_test PRIVATE "${PROJECT_SOURCE_DIR}/lib")
target_link_libraries(connection_test PRIVATE parti_options parti parti::natsc GTest::gtest_main Boost::headers Threads::Threads fmt::fmt)
parti_use_nats_server(connection_test)
parti_gtest(connection_test LABELS integration TIMEOUT 150)
