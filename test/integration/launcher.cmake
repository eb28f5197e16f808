# Processes, servers and their oracles against the real thing.
add_executable(server-holder server_holder.cpp)
target_link_libraries(server-holder PRIVATE parti_options)
parti_use_nats_server(server-holder)

add_executable(launcher_test launcher_test.cpp launcher_guard_test.cpp process_test.cpp
  server_watch_test.cpp sweep_test.cpp)
target_link_libraries(launcher_test PRIVATE parti_options nlohmann_json::nlohmann_json GTest::gtest_main)
target_compile_definitions(launcher_test PRIVATE
  "PARTI_LAUNCHER_FILE=\"$<TARGET_FILE:nats-server-launcher>\"" "PARTI_HOLDER_FILE=\"$<TARGET_FILE:server-holder>\"")
parti_use_nats_server(launcher_test)
add_dependencies(launcher_test server-holder)
gtest_discover_tests(launcher_test DISCOVERY_MODE PRE_TEST PROPERTIES LABELS integration TIMEOUT 60)

add_executable(http_server_test http_server_test.cpp)
target_link_libraries(http_server_test PRIVATE parti_options parti_testhttp parti_testproc GTest::gtest_main)
parti_gtest(http_server_test LABELS integration TIMEOUT 60)
