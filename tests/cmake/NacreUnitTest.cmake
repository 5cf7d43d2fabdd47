# nacre_unit_test(<name> SOURCES <files> LIBS <targets> [LABELS <labels>])
#
# Makes a GoogleTest executable of the given sources and registers it with ctest under <name>, label "unit"
# unless LABELS says otherwise. Unit tests stand beside what they test.
if(NACRE_TESTS)
  find_package(GTest REQUIRED)
endif()

function(nacre_unit_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS;LABELS" ${ARGN})
  if(NOT NACRE_TESTS)
    return()
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} PRIVATE <gtest/gtest.h> <gmock/gmock.h>)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 120)
endfunction()
