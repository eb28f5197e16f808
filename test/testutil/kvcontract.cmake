# The contract suite of a KV client: an object library, so that its tests are registered wherever it is linked.
add_library(parti_kvcontract OBJECT kv_contract.cpp kv_contract_watch.cpp)
target_include_directories(parti_kvcontract PUBLIC "${PROJECT_SOURCE_DIR}/test" "${PROJECT_SOURCE_DIR}/lib")
target_link_libraries(parti_kvcontract PUBLIC parti_public GTest::gtest PRIVATE parti_options)
# GCC 12 warns without cause about "text" + std::to_string(n) (its bug 105651).
target_compile_options(parti_kvcontract PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")
