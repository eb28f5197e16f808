# parti_testproc: processes, servers and their oracles. Links neither the library under test nor a NATS client.
find_package(tl-expected REQUIRED GLOBAL)
find_package(nlohmann_json 3.9 REQUIRED GLOBAL)
find_package(Boost 1.74 REQUIRED COMPONENTS system filesystem GLOBAL)
find_package(GTest REQUIRED GLOBAL)

add_library(parti_testproc STATIC
  folder_reaper.cpp
  limits.cpp
  log_scan.cpp
  memory_probe.cpp
  memory_sampler.cpp
  nats_cluster.cpp
  nats_server.cpp
  process.cpp
  server_monitor.cpp
  server_watch.cpp
  sweep.cpp
  tcp_text.cpp)
target_include_directories(parti_testproc PUBLIC "${PROJECT_SOURCE_DIR}/test")
target_compile_definitions(parti_testproc PRIVATE BOOST_ASIO_DISABLE_CO_AWAIT
  "PARTI_FOLDER_REAPER=\"${CMAKE_CURRENT_LIST_DIR}/folder_reaper.sh\""
  "PARTI_LAUNCHER_PATH=\"${PROJECT_BINARY_DIR}/test/cmd/nats-server-launcher/nats-server-launcher\""
  "PARTI_NEW_NATS_SERVER_PATH=\"$<IF:$<BOOL:${PARTI_NEW_NATS_SERVER}>,${PARTI_NEW_NATS_SERVER},${PARTI_NEW_NATS_SERVER_DEFAULT}>\"")
target_link_libraries(parti_testproc
  PUBLIC tl::expected Threads::Threads
  PRIVATE parti_options Boost::headers Boost::system Boost::filesystem nlohmann_json::nlohmann_json)
set_source_files_properties(log_scan.cpp PROPERTIES  # GCC 12 about std::regex under sanitizers
  COMPILE_OPTIONS "$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>")

# For every target that starts a server: links the library and makes sure that the launcher is built first.
function(parti_use_nats_server target)
  target_link_libraries(${target} PRIVATE parti_testproc)
  add_dependencies(${target} nats-server-launcher)
endfunction()
