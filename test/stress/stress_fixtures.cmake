# How the stress tests run under ctest: a fixture around them, one ctest test per gtest case.
#
#   stress_begin     first: starts a run (PARTI_STRESS_RESULTS/current names its folder)
#   <suite>.<case>   alone on the machine, writing their results into that run
#   stress_diff      last, whatever happened before: compares what ran now with test/stress/baselines
#
# With `ctest -R one_test` ctest adds begin and diff by itself, and the diff sees that one test only. stress_diff requires a run of its
# own accord too, so that `ctest -R stress_diff` never reads an older one.
#
#   parti_add_stress_tests(stress_tests TIMEOUT 240 [LABELS memory] [ENVIRONMENT A=b ...])
#
# registers every case of a GoogleTest program. Every one gets the label stress, and memory or scale by its name
# (TestMemoryBenchmark..., TestScale...). No other label of the project may contain "stress", since `ctest -L` is a search.
include(GoogleTest)

if(NOT PARTI_STRESS_RESULTS)
  set(PARTI_STRESS_RESULTS "${PROJECT_BINARY_DIR}/stress-results")
endif()
if(NOT PARTI_STRESS_BASELINES)
  set(PARTI_STRESS_BASELINES "${PROJECT_SOURCE_DIR}/test/stress/baselines")
endif()
if(NOT PARTI_STRESS_REPORT)
  set(PARTI_STRESS_REPORT stress-report)
endif()

function(parti_add_stress_fixtures)
  add_test(NAME stress_begin COMMAND ${PARTI_STRESS_REPORT} begin "${PARTI_STRESS_RESULTS}")
  set_tests_properties(stress_begin PROPERTIES
    LABELS stress TIMEOUT 60 FIXTURES_SETUP "stress_run;stress_results" RUN_SERIAL TRUE RESOURCE_LOCK stress_box)
  add_test(NAME stress_diff COMMAND ${PARTI_STRESS_REPORT} diff "${PARTI_STRESS_BASELINES}" "${PARTI_STRESS_RESULTS}"
    --current-run-only --text "${PARTI_STRESS_RESULTS}/diff.txt" --markdown "${PARTI_STRESS_RESULTS}/diff.md"
    --json "${PARTI_STRESS_RESULTS}/diff.json" --summary "${PARTI_STRESS_RESULTS}/summary.md")
  set_tests_properties(stress_diff PROPERTIES
    LABELS stress TIMEOUT 60 FIXTURES_CLEANUP stress_run FIXTURES_REQUIRED stress_results RUN_SERIAL TRUE
    RESOURCE_LOCK stress_box SKIP_RETURN_CODE 101)
endfunction()

function(parti_add_stress_tests target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "TIMEOUT" "LABELS;ENVIRONMENT")
  if(NOT arg_TIMEOUT OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "parti_add_stress_tests(${target}): needs TIMEOUT; not understood: '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  if(arg_TIMEOUT GREATER 900)
    message(FATAL_ERROR "parti_add_stress_tests(${target}): TIMEOUT ${arg_TIMEOUT} must be at most 900, which ctest is called with")
  endif()
  # gtest_discover_tests flattens lists in PROPERTIES, so the properties are set by a script that ctest reads after the discovered
  # tests. The names carry no values of parameters, which may hold anything.
  gtest_discover_tests(${target} NO_PRETTY_TYPES NO_PRETTY_VALUES TEST_LIST ${target}_stress_tests DISCOVERY_TIMEOUT 120)
  set(environment "PARTI_STRESS_RUN_DIR=${PARTI_STRESS_RESULTS}" ${arg_ENVIRONMENT})
  set(script "${CMAKE_CURRENT_BINARY_DIR}/${target}_stress_properties.cmake")
  file(CONFIGURE OUTPUT "${script}" @ONLY CONTENT [==[
set(tests ${@target@_stress_tests})
if(NOT tests)
  set(tests @target@_NOT_BUILT)  # keeps its place among the stress tests, where it fails
endif()
foreach(test IN LISTS tests)
  set(labels stress @arg_LABELS@)
  if(test MATCHES "TestMemoryBenchmark")
    list(APPEND labels memory)
  elseif(test MATCHES "TestScale")
    list(APPEND labels scale)
  endif()
  list(REMOVE_DUPLICATES labels)
  set_tests_properties("${test}" PROPERTIES LABELS "${labels}" TIMEOUT @arg_TIMEOUT@ FIXTURES_REQUIRED stress_run
    RUN_SERIAL TRUE RESOURCE_LOCK stress_box ENVIRONMENT "@environment@")
endforeach()
]==])
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${script}")
endfunction()

parti_add_stress_fixtures()
