# nats.c as the target parti::natsc. Debian 12's own package file names a static library that the package does not contain, so that
# find_package(cnats) stops with an error there.
find_path(NATSC_INCLUDE_DIR nats/nats.h)
find_library(NATSC_LIBRARY nats)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(natsc REQUIRED_VARS NATSC_LIBRARY NATSC_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "install it with: apt-get install libnats-dev")
if(natsc_FOUND AND NOT TARGET parti::natsc)
  add_library(parti::natsc UNKNOWN IMPORTED)
  set_target_properties(parti::natsc PROPERTIES IMPORTED_LOCATION "${NATSC_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${NATSC_INCLUDE_DIR}")
endif()
mark_as_advanced(NATSC_INCLUDE_DIR NATSC_LIBRARY)
