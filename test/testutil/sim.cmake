# The simulated world over the real core and hub. The targets it runs are optimised in every build: a thousand seeds must run within a
# minute, under the sanitizers too.
add_library(parti_testsim STATIC invariants.cpp invariants_records.cpp sim_store.cpp sim_client.cpp sim_watch.cpp)
target_include_directories(parti_testsim PUBLIC "${PROJECT_SOURCE_DIR}/test" "${PROJECT_SOURCE_DIR}/lib")
target_link_libraries(parti_testsim PUBLIC parti_public parti_base PRIVATE parti_options)

add_library(parti_testworld STATIC sim_faults.cpp sim_history.cpp sim_operators.cpp sim_plan.cpp sim_records.cpp sim_shell.cpp sim_totals.cpp
  sim_trace.cpp sim_world.cpp)
target_link_libraries(parti_testworld PUBLIC parti_testsim parti_hub parti_core parti_wire parti_assign PRIVATE parti_options)

foreach(target IN ITEMS parti_testsim parti_testworld parti_hub parti_core parti_wire parti_assign parti_base)
  if(PARTI_SANITIZE AND TARGET ${target})
    target_compile_options(${target} PRIVATE -O2)
  endif()
endforeach()
