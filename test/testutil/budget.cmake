# parti_testbudget: profiles, budgets and the main() of every stress program. Link it instead of GTest::gtest_main.
find_package(GTest REQUIRED GLOBAL)
add_library(parti_testbudget STATIC budget.cpp)
target_include_directories(parti_testbudget PUBLIC "${PROJECT_SOURCE_DIR}/test")
target_link_libraries(parti_testbudget PUBLIC GTest::gtest PRIVATE parti_options)
