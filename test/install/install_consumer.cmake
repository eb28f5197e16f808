# Installs BUILD_DIR into an empty folder below WORK_DIR, checks what is there, then configures, builds and runs the project in
# consumer/ against it. The prefix is moved once in between: an installed package must not know where it was built.
foreach(name IN ITEMS SOURCE_DIR BUILD_DIR WORK_DIR GENERATOR CXX)
  if(NOT ${name})
    message(FATAL_ERROR "install_consumer.cmake: ${name} is not set")
  endif()
endforeach()

function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    string(REPLACE ";" " " command "${ARGN}")
    message(FATAL_ERROR "${what} failed (${result}): ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${WORK_DIR}")
run("cmake --install" "${CMAKE_COMMAND}" --install "${BUILD_DIR}" --prefix "${WORK_DIR}/first")
file(RENAME "${WORK_DIR}/first" "${WORK_DIR}/prefix")

# Exactly the public headers, and none of them drags in what users need not have.
file(GLOB_RECURSE wanted RELATIVE "${SOURCE_DIR}/lib/include" "${SOURCE_DIR}/lib/include/*")
file(GLOB_RECURSE installed RELATIVE "${WORK_DIR}/prefix/include" "${WORK_DIR}/prefix/include/*")
if(NOT wanted STREQUAL installed)
  message(FATAL_ERROR "headers in lib/include: ${wanted}\ninstalled: ${installed}")
endif()
foreach(header IN LISTS installed)
  file(STRINGS "${WORK_DIR}/prefix/include/${header}" includes REGEX "^[ \t]*#[ \t]*include")
  foreach(line IN LISTS includes)
    if(NOT line MATCHES "#[ \t]*include <(parti/[a-z_]+\\.h|tl/expected\\.hpp|[a-z_]+)>")
      message(FATAL_ERROR "${header} includes more than parti, tl::expected and the standard library: ${line}")
    endif()
  endforeach()
endforeach()

# The command works from where it was installed to, and says no with the code it documents.
execute_process(COMMAND "${WORK_DIR}/prefix/bin/partictl" --group orders sattus RESULT_VARIABLE result OUTPUT_QUIET ERROR_VARIABLE output)
if(NOT result EQUAL 2 OR NOT output MATCHES "unknown command 'sattus'")
  message(FATAL_ERROR "the installed partictl ended with ${result}: ${output}")
endif()

# Nothing that was installed names a folder of this machine's source or build tree.
file(GLOB_RECURSE package_files "${WORK_DIR}/prefix/*.cmake")
if(NOT package_files)
  message(FATAL_ERROR "no package files were installed")
endif()
foreach(file IN LISTS package_files)
  file(READ "${file}" text)
  string(FIND "${text}" "${SOURCE_DIR}" position)
  if(NOT position EQUAL -1)
    message(FATAL_ERROR "${file} names the source tree ${SOURCE_DIR}")
  endif()
endforeach()

set(flags "")
if(SANITIZERS)
  set(flags "-fsanitize=${SANITIZERS}")
endif()
run("configuring the consumer" "${CMAKE_COMMAND}" -S "${CMAKE_CURRENT_LIST_DIR}/consumer" -B "${WORK_DIR}/build" -G "${GENERATOR}"
  "-DCMAKE_PREFIX_PATH=${WORK_DIR}/prefix" "-DCMAKE_CXX_COMPILER=${CXX}" "-DCMAKE_BUILD_TYPE=${BUILD_TYPE}"
  "-DCMAKE_CXX_FLAGS=${flags}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}")
run("building the consumer" "${CMAKE_COMMAND}" --build "${WORK_DIR}/build")
run("running the consumer" "${WORK_DIR}/build/consumer")
message(STATUS "${output}")
if(NOT output MATCHES "parti::parti works: link_down")
  message(FATAL_ERROR "the consumer said: ${output}")
endif()
