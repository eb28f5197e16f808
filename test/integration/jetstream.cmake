# The JetStream client against a real nats-server: the contract suite and what only the real one has.
find_package(natsc REQUIRED)
find_package(nlohmann_json 3.9 REQUIRED)
find_package(Boost 1.74 REQUIRED)
add_executable(jetstream_test kv_contract_test.cpp kv_contract_world.cpp jetstream_client_test.cpp jetstream_json_test.cpp
  pull_test.cpp subscription_lifetime_test.cpp raw_nats.cpp)
target_link_libraries(jetstream_test PRIVATE parti_options parti_kvcontract parti_jetstream parti_base parti::natsc Boost::headers
  nlohmann_json::nlohmann_json GTest::gtest GTest::gtest_main)
target_link_options(jetstream_test PRIVATE "LINKER:--wrap=natsSubscription_Destroy")  # subscription_lifetime_test.cpp counts them
target_compile_definitions(jetstream_test PRIVATE BOOST_ASIO_DISABLE_CO_AWAIT)
target_compile_options(jetstream_test PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")  # GCC bug 105651
parti_use_nats_server(jetstream_test)
gtest_discover_tests(jetstream_test NO_PRETTY_VALUES PROPERTIES LABELS integration TIMEOUT 120)
parti_new_server_test(jetstream_test FILTER "*" LABELS integration TIMEOUT 240)
