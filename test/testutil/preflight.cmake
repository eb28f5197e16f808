# parti_testpreflight: what is checked before a run of the stress suite, and how busy the machine is.
add_library(parti_testpreflight STATIC preflight.cpp)
target_compile_definitions(parti_testpreflight PRIVATE
  "PARTI_LAUNCHER_PATH=\"${PROJECT_BINARY_DIR}/test/cmd/nats-server-launcher/nats-server-launcher\""
  "PARTI_WORKER_HOST_PATH=\"${PROJECT_BINARY_DIR}/test/cmd/worker-host/worker-host\"")
target_link_libraries(parti_testpreflight PUBLIC parti_testproc PRIVATE parti_options)
