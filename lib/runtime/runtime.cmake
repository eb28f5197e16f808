# The shell around the core: the only layer with a clock and threads.
parti_layer(parti_runtime
  connection.cpp
  context_impl.cpp
  control.cpp
  control_change.cpp
  executor.cpp
  group.cpp
  group_reader.cpp
  group_status.cpp
  io_thread.cpp
  logger.cpp
  metrics.cpp
  nats_sources.cpp
  source_reader.cpp
  sources.cpp
  tcp_timeout.cpp
  timers.cpp
  watched_set.cpp
  worker.cpp
  worker_callbacks.cpp
  worker_shell.cpp
  worker_start.cpp)
target_link_libraries(parti_runtime PRIVATE parti_hub parti_jetstream parti_core parti_wire parti_assign parti_base
  parti::natsc Boost::headers fmt::fmt Threads::Threads)
target_compile_definitions(parti_runtime PRIVATE BOOST_ASIO_DISABLE_CO_AWAIT)
