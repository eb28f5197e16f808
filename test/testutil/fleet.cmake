# parti_testfleet: drives fleets of worker-hosts on a server of their own, and judges them. Does not link the library under test.
find_package(nlohmann_json 3.9 REQUIRED GLOBAL)
add_library(parti_testfleet STATIC
  fleet.cpp
  history.cpp
  history_file.cpp
  history_parse.cpp
  oracles.cpp
  timeline.cpp
  worker_contract.cpp
  worker_process.cpp)
target_compile_definitions(parti_testfleet PRIVATE
  "PARTI_WORKER_HOST_PATH=\"${PROJECT_BINARY_DIR}/test/cmd/worker-host/worker-host\"")
target_link_libraries(parti_testfleet PUBLIC parti_testproc PRIVATE parti_options nlohmann_json::nlohmann_json)

# For every target that drives worker-hosts.
function(parti_use_fleet target)
  target_link_libraries(${target} PRIVATE parti_testfleet)
  parti_use_nats_server(${target})
  if(TARGET worker-host)
    add_dependencies(${target} worker-host)
  endif()
endfunction()
