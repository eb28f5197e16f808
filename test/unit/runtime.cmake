# The runtime's parts that need no server.
find_package(fmt REQUIRED)
find_package(Boost 1.74 REQUIRED)
add_executable(parti_runtime_tests executor_test.cpp ownership_test.cpp sources_test.cpp timers_test.cpp watched_set_test.cpp)
target_include_directories(parti_runtime_tests PRIVATE "${PROJECT_SOURCE_DIR}/lib")
target_link_libraries(parti_runtime_tests PRIVATE parti_options parti GTest::gtest_main Boost::headers Threads::Threads fmt::fmt)
target_compile_definitions(parti_runtime_tests PRIVATE BOOST_ASIO_DISABLE_CO_AWAIT)
parti_gtest(parti_runtime_tests LABELS unit TIMEOUT 120)
