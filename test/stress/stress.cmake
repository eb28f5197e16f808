# The suite's programs. The measured ones are registered by stress_fixtures.cmake, the fast ones are part of `make test`.
find_package(GTest REQUIRED)
find_package(natsc REQUIRED)
add_executable(stress_oracle_selftest oracle_selftest.cpp)
parti_use_fleet(stress_oracle_selftest)
target_link_libraries(stress_oracle_selftest PRIVATE parti_options parti::natsc GTest::gmock GTest::gtest_main)
target_compile_options(stress_oracle_selftest PRIVATE "$<$<CXX_COMPILER_ID:GNU>:-Wno-restrict>")
parti_gtest(stress_oracle_selftest LABELS selftest TIMEOUT 120)
