# What every target of the project shares: language level, warnings, sanitizers.
find_package(Threads REQUIRED)

find_program(PARTI_CCACHE ccache)
if(PARTI_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # What includes a precompiled header is kept as well, by ccache's manual: with these, and with -fpch-preprocess.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND};-E;env;CCACHE_SLOPPINESS=pch_defines,time_macros;${PARTI_CCACHE}")
endif()

add_library(parti_options INTERFACE)
target_compile_features(parti_options INTERFACE cxx_std_20)
target_compile_options(parti_options INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wsign-conversion -Wpedantic)
# GCC 12 takes `text + "literal"` for an overlapping copy when it inlines std::string (its bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(parti_options INTERFACE -Wno-restrict)
endif()
if(PARTI_WERROR)
  target_compile_options(parti_options INTERFACE -Werror)
endif()
# A target's, or its directory's: in a sanitized build it is compiled for little time instead of little run time. Most of such a build is
# tests; GCC takes 6 s instead of 15 s for a file of them without optimisation (codec_test.cpp: 5.6 and 15.4 s), and three quarters of that
# without UBSan's checks of every access (six files: 41 s instead of 55 s), of which AddressSanitizer makes its own.
define_property(TARGET PROPERTY PARTI_QUICKLY_COMPILED INHERITED BRIEF_DOCS "Sanitized builds: compiled quickly" FULL_DOCS "See above")
set(quickly "$<BOOL:$<TARGET_PROPERTY:PARTI_QUICKLY_COMPILED>>")
if(NOT PARTI_SANITIZE STREQUAL "")
  target_compile_options(parti_options INTERFACE "$<${quickly}:-O0>")
endif()
if(PARTI_SANITIZE STREQUAL "address+undefined")
  target_compile_options(parti_options INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_options(parti_options INTERFACE "$<${quickly}:-fno-sanitize=vptr,null,alignment,object-size>")
  target_link_options(parti_options INTERFACE -fsanitize=address,undefined)
elseif(PARTI_SANITIZE STREQUAL "thread")
  target_compile_options(parti_options INTERFACE -fsanitize=thread -fno-omit-frame-pointer -Wno-tsan)
  target_link_options(parti_options INTERFACE -fsanitize=thread)
elseif(NOT PARTI_SANITIZE STREQUAL "")
  message(FATAL_ERROR "PARTI_SANITIZE is '${PARTI_SANITIZE}'; it must be empty, address+undefined or thread")
endif()
target_compile_definitions(parti_options INTERFACE PARTI_SANITIZE_NAME="${PARTI_SANITIZE}")
