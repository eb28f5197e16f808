# The core, without shell or store.
add_executable(parti_core_test assignee_test.cpp cas_write_test.cpp core_story_test.cpp core_operator_test.cpp core_loss_test.cpp
  core_doubt_test.cpp core_work_test.cpp)
target_link_libraries(parti_core_test PRIVATE parti_options parti_core parti_base GTest::gtest_main)
parti_gtest(parti_core_test LABELS unit TIMEOUT 60)
