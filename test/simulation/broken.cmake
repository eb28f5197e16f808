# The checker is checked: the core once more, with the switch of core/test_switch.h, under the same world. Every breakage of
# breakages.txt must be noticed by an invariant from the seed named there on, and the same seeds must pass without it.
function(parti_breakable target source)
  get_target_property(sources ${source} SOURCES)
  get_target_property(folder ${source} SOURCE_DIR)
  list(TRANSFORM sources PREPEND "${folder}/")
  add_library(${target} STATIC ${sources})
  target_compile_definitions(${target} PUBLIC PARTI_TEST_BREAKAGE)
  target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/lib" "${PROJECT_SOURCE_DIR}/test")
  target_link_libraries(${target} PRIVATE parti_options)
  if(PARTI_SANITIZE)
    target_compile_options(${target} PRIVATE -O2)
  endif()
endfunction()

parti_breakable(parti_core_breakable parti_core)
target_link_libraries(parti_core_breakable PUBLIC parti_public parti_base)
parti_breakable(parti_testworld_breakable parti_testworld)
target_link_libraries(parti_testworld_breakable PUBLIC parti_core_breakable parti_testsim parti_hub parti_wire parti_assign)

add_executable(simulate_broken simulate_broken.cpp)
target_link_libraries(simulate_broken PRIVATE parti_testworld_breakable parti_options)

add_test(NAME simulation_breakages_are_all_listed COMMAND simulate_broken --table "${CMAKE_CURRENT_SOURCE_DIR}/breakages.txt")
set_tests_properties(simulation_breakages_are_all_listed PROPERTIES LABELS simulation TIMEOUT 60)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/breakages.txt")
file(STRINGS "${CMAKE_CURRENT_SOURCE_DIR}/breakages.txt" rows REGEX "^[a-z]")
foreach(row IN LISTS rows)
  if(NOT row MATCHES "^([a-z_]+) +\\| +([^|]*[^| ]) +\\| +([0-9]+) +\\| +([0-9]+) *$")
    if(row MATCHES "\\| +not noticed: .+")
      continue()
    endif()
    message(FATAL_ERROR "breakages.txt: '${row}' is not 'name | promises | first seed | seeds'")
  endif()
  add_test(NAME simulation_notices_without_${CMAKE_MATCH_1} COMMAND simulate_broken --break ${CMAKE_MATCH_1} --expect "${CMAKE_MATCH_2}"
    --first ${CMAKE_MATCH_3} --runs ${CMAKE_MATCH_4})
  set_tests_properties(simulation_notices_without_${CMAKE_MATCH_1} PROPERTIES LABELS simulation TIMEOUT 120)
endforeach()

# Every (state, event) pair of every machine is reached or has its reason.
add_executable(state_matrix state_matrix.cpp)
target_link_libraries(state_matrix PRIVATE parti_testworld_breakable parti_options)
add_test(NAME simulation_state_matrix COMMAND state_matrix "${CMAKE_CURRENT_SOURCE_DIR}/state_matrix.txt" --runs 150)
set_tests_properties(simulation_state_matrix PROPERTIES LABELS simulation TIMEOUT 300)
