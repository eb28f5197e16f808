# The simulated world. Optimised in every build but Debug: a thousand seeds must run within a minute under the sanitizers.
add_library(parti_testsim STATIC sim_store.cpp sim_client.cpp)
target_include_directories(parti_testsim PUBLIC "${PROJECT_SOURCE_DIR}/test" "${PROJECT_SOURCE_DIR}/lib")
target_link_libraries(parti_testsim PUBLIC parti_public parti_base PRIVATE parti_options)
