# parti_testload: the load generator (nats.c) and the ledger over what workers handled.
find_package(natsc REQUIRED GLOBAL)
add_library(parti_testload STATIC ledger.cpp ledger_parse.cpp load_generator.cpp load_plan.cpp recovery.cpp)
target_link_libraries(parti_testload PUBLIC parti_testfleet PRIVATE parti_options parti::natsc)
