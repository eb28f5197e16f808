# Consumers on three servers that are one.
find_package(nlohmann_json 3.9 REQUIRED)
add_executable(consume_cluster_test consume_cluster_test.cpp)
target_link_libraries(consume_cluster_test PRIVATE parti_testload parti_options parti nlohmann_json::nlohmann_json GTest::gtest_main Threads::Threads)
target_compile_options(consume_cluster_test PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")  # GCC 12's bug 105651
parti_use_nats_server(consume_cluster_test)
add_dependencies(consume_cluster_test consume)
parti_gtest(consume_cluster_test LABELS integration TIMEOUT 240)
