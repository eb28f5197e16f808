# How the stress tests run under ctest: a profile, a fixture around them, one ctest test per gtest case.
#
#   stress_preflight first of all: may a run begin on this machine? Waits for it to become quiet (not in a project that sets
#                    PARTI_STRESS_PREFLIGHT to OFF)
#   stress_begin     then: checks the criteria, starts a run (PARTI_STRESS_RESULTS/current names its folder)
#   <suite>.<case>   alone on the machine, writing their results into that run
#   stress_diff      last, whatever happened before: compares what ran now with test/stress/baselines, runs failing tests again to
#                    confirm them (PARTI_STRESS_CONFIRM_SECONDS), and checks the criteria
#
# With `ctest -R one_test` ctest adds begin and diff by itself, and the diff sees that one test only. stress_diff requires a run of its
# own accord too, so that `ctest -R stress_diff` never reads an older one.
#
#   parti_add_stress_tests(stress_tests [ENVIRONMENT A=b ...])
#   parti_add_stress_command(stress_alarm BUDGET standard 60 nightly 60 COMMAND ... [LABEL stress] [COUNTED_ONLY] [PROPERTIES ...])
#
# register the cases of a GoogleTest program that links parti_testbudget, and any other program. PARTI_STRESS_PROFILE chooses: a test
# whose budget (test/testutil/budget.h) says nothing about the profile is not registered, the others get TIMEOUT 2.5 x their budget. Each
# has its budget's label (stress, soak, ladder or matrix; no other label of the project may contain "stress", since `ctest -L` is a
# search), and memory or scale by its name (TestMemoryBenchmark..., TestScale...). COUNTED_ONLY: this build cannot run it, so it is not
# registered; its budget counts all the same, so that a profile's sum is that of the build that is measured.
set(PARTI_STRESS_PROFILES smoke standard nightly soak soak4h)
set(PARTI_STRESS_PROFILE standard CACHE STRING "Which stress tests are registered, and how long they run: smoke, standard, nightly, soak, soak4h")
set_property(CACHE PARTI_STRESS_PROFILE PROPERTY STRINGS ${PARTI_STRESS_PROFILES})
if(NOT PARTI_STRESS_PROFILE IN_LIST PARTI_STRESS_PROFILES)
  set(given "${PARTI_STRESS_PROFILE}")
  unset(PARTI_STRESS_PROFILE CACHE)  # else the build folder would keep it, and every later configuration fail
  message(FATAL_ERROR "PARTI_STRESS_PROFILE='${given}' must be one of ${PARTI_STRESS_PROFILES}")
endif()

if(NOT PARTI_STRESS_RESULTS)
  set(PARTI_STRESS_RESULTS "${PROJECT_BINARY_DIR}/stress-results")
endif()
if(NOT PARTI_STRESS_BASELINES)
  set(PARTI_STRESS_BASELINES "${PROJECT_SOURCE_DIR}/test/stress/baselines")
endif()
if(NOT PARTI_STRESS_CRITERIA AND EXISTS "${PROJECT_SOURCE_DIR}/test/stress/criteria.json")
  set(PARTI_STRESS_CRITERIA "${PROJECT_SOURCE_DIR}/test/stress/criteria.json")
endif()
if(NOT PARTI_STRESS_CONFIRM_SECONDS)
  set(PARTI_STRESS_CONFIRM_SECONDS 240)
endif()
if(NOT PARTI_STRESS_REPORT)
  set(PARTI_STRESS_REPORT stress-report)
endif()

# Where the budgets of all programs lie, for check_budgets; `list` names the files that count.
set(PARTI_STRESS_BUDGETS "${PROJECT_BINARY_DIR}/stress-budgets")
file(WRITE "${PARTI_STRESS_BUDGETS}/list" "")

# 60 s or 2.5 times the budget, whatever is more.
function(parti_stress_timeout out budget)
  math(EXPR timeout "(${budget} * 5 + 1) / 2")
  if(timeout LESS 60)
    set(timeout 60)
  endif()
  set(${out} ${timeout} PARENT_SCOPE)
endfunction()

function(parti_add_stress_command name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "COUNTED_ONLY" "LABEL" "BUDGET;COMMAND;PROPERTIES")
  if(NOT arg_BUDGET OR NOT arg_COMMAND OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "parti_add_stress_command(${name}): needs BUDGET and COMMAND; not understood: '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT arg_LABEL)
    set(arg_LABEL stress)
  endif()
  set(json "")
  set(pairs ${arg_BUDGET})
  while(pairs)
    list(POP_FRONT pairs profile seconds)
    if(NOT profile IN_LIST PARTI_STRESS_PROFILES OR NOT seconds MATCHES "^[1-9][0-9]*$")
      message(FATAL_ERROR "parti_add_stress_command(${name}): BUDGET '${profile} ${seconds}' must be one of ${PARTI_STRESS_PROFILES} and seconds")
    endif()
    set(budget_${profile} ${seconds})
    list(APPEND json "\"${profile}\": ${seconds}")
  endwhile()
  list(JOIN json ", " json)
  set(registered true)
  if(arg_COUNTED_ONLY)
    set(registered false)
  endif()
  file(WRITE "${PARTI_STRESS_BUDGETS}/${name}.json" "{\"tests\": [\n    {\"name\": \"${name}\", \"declarations\": 1, \"label\": \"${arg_LABEL}\", "
    "\"registered\": ${registered}, \"budget\": {${json}}}\n]}\n")
  file(APPEND "${PARTI_STRESS_BUDGETS}/list" "${name}.json\n")
  if(budget_${PARTI_STRESS_PROFILE} AND NOT arg_COUNTED_ONLY)
    parti_stress_timeout(timeout ${budget_${PARTI_STRESS_PROFILE}})
    add_test(NAME ${name} COMMAND ${arg_COMMAND})
    set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${timeout} RUN_SERIAL TRUE RESOURCE_LOCK stress_box ${arg_PROPERTIES})
  endif()
endfunction()

function(parti_add_stress_fixtures)
  if(NOT DEFINED PARTI_STRESS_PREFLIGHT OR PARTI_STRESS_PREFLIGHT)
    set(patience 30)
    if(PARTI_STRESS_PROFILE STREQUAL "smoke")
      set(patience 5)
    endif()
    parti_add_stress_command(stress_preflight BUDGET smoke 6 standard 31 nightly 31 soak 31 soak4h 31
      COMMAND ${PARTI_STRESS_REPORT} preflight "${PARTI_STRESS_RESULTS}" ${patience}
      PROPERTIES FIXTURES_SETUP stress_preflight)
    set(after FIXTURES_REQUIRED stress_preflight)
  endif()
  # Filled by parti_add_stress_tests: the programs whose tests the criteria may name. To build it is all that a run needs.
  add_custom_target(parti_stress_programs)
  if(TARGET ${PARTI_STRESS_REPORT})
    add_dependencies(parti_stress_programs ${PARTI_STRESS_REPORT})
  endif()
  set(criteria "")
  if(PARTI_STRESS_CRITERIA)
    set(criteria --criteria "${PARTI_STRESS_CRITERIA}" --baselines "${PARTI_STRESS_BASELINES}"
      "$<GENEX_EVAL:$<TARGET_PROPERTY:parti_stress_programs,PARTI_PROGRAMS>>")
  endif()
  parti_add_stress_command(stress_begin BUDGET smoke 2 standard 2 nightly 2 soak 2 soak4h 2
    COMMAND ${PARTI_STRESS_REPORT} begin "${PARTI_STRESS_RESULTS}" ${criteria} COMMAND_EXPAND_LISTS
    PROPERTIES FIXTURES_SETUP "stress_run;stress_results" ${after})
  parti_add_stress_command(stress_diff BUDGET smoke 2 standard 5 nightly 5 soak 5 soak4h 5
    COMMAND ${PARTI_STRESS_REPORT} diff "${PARTI_STRESS_BASELINES}" "${PARTI_STRESS_RESULTS}"
    --current-run-only --confirm --confirm-seconds ${PARTI_STRESS_CONFIRM_SECONDS} --text "${PARTI_STRESS_RESULTS}/diff.txt" --markdown "${PARTI_STRESS_RESULTS}/diff.md"
    --json "${PARTI_STRESS_RESULTS}/diff.json" --summary "${PARTI_STRESS_RESULTS}/summary.md"
    PROPERTIES FIXTURES_CLEANUP stress_run FIXTURES_REQUIRED stress_results SKIP_RETURN_CODE 101
    TIMEOUT 300)  # confirming takes longer than the budget, and is rare
endfunction()

function(parti_add_stress_tests target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "ENVIRONMENT")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "parti_add_stress_tests(${target}): not understood: '${arg_UNPARSED_ARGUMENTS}'; a TIMEOUT comes from the test's "
      "Budget (test/testutil/budget.h)")
  endif()
  add_dependencies(parti_stress_programs ${target})
  set_property(TARGET parti_stress_programs APPEND PROPERTY PARTI_PROGRAMS "--program;$<TARGET_FILE:${target}>")
  set(budgets "${PARTI_STRESS_BUDGETS}/${target}.json")
  file(APPEND "${PARTI_STRESS_BUDGETS}/list" "${target}.json\n")
  set(environment "PARTI_STRESS_RUN_DIR=${PARTI_STRESS_RESULTS}" "PARTI_STRESS_PROFILE=${PARTI_STRESS_PROFILE}" ${arg_ENVIRONMENT})
  # ctest reads this script every time; the program is asked only when it is newer than its last answer.
  set(script "${CMAKE_CURRENT_BINARY_DIR}/${target}_stress_tests.cmake")
  string(CONFIGURE [==[
set(program "$<TARGET_FILE:@target@>")
set(budgets "@budgets@")
set(common RUN_SERIAL TRUE RESOURCE_LOCK stress_box FIXTURES_REQUIRED stress_run WORKING_DIRECTORY "@CMAKE_CURRENT_BINARY_DIR@")
if(EXISTS "${program}" AND (NOT EXISTS "${budgets}" OR "${program}" IS_NEWER_THAN "${budgets}"))
  string(RANDOM LENGTH 12 random)
  execute_process(COMMAND "${program}" --list-budgets OUTPUT_FILE "${budgets}.${random}" RESULT_VARIABLE result)
  if(result EQUAL 0)
    file(RENAME "${budgets}.${random}" "${budgets}")
  else()
    file(REMOVE "${budgets}.${random}" "${budgets}")
  endif()
endif()
if(NOT EXISTS "${program}" OR NOT EXISTS "${budgets}")
  add_test(@target@_NOT_BUILT "${program}")  # keeps its place among the stress tests, where it fails
  set_tests_properties(@target@_NOT_BUILT PROPERTIES LABELS stress TIMEOUT 60 ${common})
else()
  file(READ "${budgets}" json)
  string(JSON count LENGTH "${json}" tests)
  set(index 0)
  while(index LESS count)
    string(JSON test GET "${json}" tests ${index} name)
    string(JSON label GET "${json}" tests ${index} label)
    string(JSON declarations GET "${json}" tests ${index} declarations)
    string(JSON budget ERROR_VARIABLE none GET "${json}" tests ${index} budget @PARTI_STRESS_PROFILE@)
    math(EXPR index "${index} + 1")
    if(NOT declarations EQUAL 1)
      set(budget 60)  # it runs, and check_budgets fails
    endif()
    if(budget MATCHES "^[0-9]+$")
      math(EXPR timeout "(${budget} * 5 + 1) / 2")
      if(timeout LESS 60)
        set(timeout 60)
      endif()
      set(labels ${label})
      if(test MATCHES "TestMemoryBenchmark")
        list(APPEND labels memory)
      elseif(test MATCHES "TestScale")
        list(APPEND labels scale)
      endif()
      add_test("${test}" "${program}" "--gtest_filter=${test}")
      set_tests_properties("${test}" PROPERTIES LABELS "${labels}" TIMEOUT ${timeout} ${common} ENVIRONMENT "@environment@")
    endif()
  endwhile()
endif()
]==] content @ONLY)
  file(GENERATE OUTPUT "${script}" CONTENT "${content}")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES "${script}")
endfunction()

parti_add_stress_fixtures()
