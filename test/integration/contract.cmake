# The worker contract, and the suite's own smoke test over the second program that keeps it.
add_executable(worker_contract_test worker_contract_test.cpp)
target_link_libraries(worker_contract_test PRIVATE parti_options GTest::gtest_main)
target_compile_definitions(worker_contract_test PRIVATE "PARTI_WORKER_HOST_FILE=\"$<TARGET_FILE:worker-host>\""
  "PARTI_MINIMAL_WORKER_FILE=\"$<TARGET_FILE:minimal-worker>\"" "PARTI_FAKE_WORKER_FILE=\"${CMAKE_CURRENT_SOURCE_DIR}/fake_worker.py\"")
parti_use_fleet(worker_contract_test)
add_dependencies(worker_contract_test minimal-worker)
parti_gtest(worker_contract_test LABELS integration TIMEOUT 120)

add_test(NAME contract_check_minimal_worker COMMAND contract-check "$<TARGET_FILE:minimal-worker>")
add_test(NAME contract_check_refuses COMMAND contract-check "${CMAKE_CURRENT_SOURCE_DIR}/fake_worker.py")
set_tests_properties(contract_check_minimal_worker contract_check_refuses PROPERTIES LABELS integration TIMEOUT 120)
set_tests_properties(contract_check_refuses PROPERTIES ENVIRONMENT FAKE_WORKER_BREAKS=version
  PASS_REGULAR_EXPRESSION "BROKEN  ready: .*it speaks version 2.*BREAKS version 1 of the worker contract")
