# parti_testresults: result files, fingerprints, baselines and their comparison. No NATS, no library code.
find_package(nlohmann_json 3.9 REQUIRED)
find_package(natsc REQUIRED)  # for its version only
find_package(Boost 1.74 REQUIRED)  # headers: Student's t
find_path(PARTI_XXHASH_INCLUDE xxhash.h REQUIRED)
find_path(PARTI_EXPECTED_INCLUDE_DIR tl/expected.hpp REQUIRED)
mark_as_advanced(PARTI_EXPECTED_INCLUDE_DIR)

add_library(parti_testresults STATIC
  ab.cpp
  baseline.cpp
  benchmark_json.cpp
  change_points.cpp
  common_mode.cpp
  confirm.cpp
  criteria.cpp
  details.cpp
  details_file.cpp
  diff.cpp
  environment.cpp
  expression.cpp
  fingerprint.cpp
  json_file.cpp
  leak.cpp
  metric.cpp
  preflight_record.cpp
  profiles.cpp
  promote.cpp
  results.cpp
  run_folder.cpp
  sessions.cpp
  side_by_side.cpp
  statistics.cpp
  trend.cpp
  verdict.cpp)
target_include_directories(parti_testresults PUBLIC "${PROJECT_SOURCE_DIR}/test")
target_include_directories(parti_testresults SYSTEM PUBLIC "${PARTI_EXPECTED_INCLUDE_DIR}"
  PRIVATE "${PARTI_XXHASH_INCLUDE}" "${NATSC_INCLUDE_DIR}")
target_compile_features(parti_testresults PUBLIC cxx_std_20)
target_compile_definitions(parti_testresults PRIVATE
  PARTI_BUILD_TYPE="$<CONFIG>"
  PARTI_SUITE_VERSION="${PROJECT_VERSION}"
  PARTI_SOURCE_FOLDER="${PROJECT_SOURCE_DIR}"
  PARTI_STRESS_ROOT="${PROJECT_BINARY_DIR}/stress-results")
target_link_libraries(parti_testresults PRIVATE parti_options nlohmann_json::nlohmann_json Boost::headers)
