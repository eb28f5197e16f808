# parti_testhttp: a small HTTP server on loopback. Beast is compiled in its one file only.
find_package(Boost 1.74 REQUIRED COMPONENTS system GLOBAL)
find_package(tl-expected REQUIRED GLOBAL)
add_library(parti_testhttp STATIC http_server.cpp)
target_include_directories(parti_testhttp PUBLIC "${PROJECT_SOURCE_DIR}/test")
target_compile_definitions(parti_testhttp PRIVATE BOOST_ASIO_DISABLE_CO_AWAIT)
target_link_libraries(parti_testhttp PUBLIC tl::expected Threads::Threads PRIVATE parti_options Boost::headers Boost::system)
set_source_files_properties(http_server.cpp PROPERTIES  # GCC 12 about boost::optional in Beast's parser under sanitizers
  COMPILE_OPTIONS "$<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>")
