# nacre_unit_test(<name> SOURCES <files> LIBS <targets> [LABELS <labels>])
#
# Makes a GoogleTest executable of the given sources and registers it with ctest under <name>, label "unit"
# unless LABELS says otherwise. Unit tests stand beside what they test.
if(NACRE_TESTS)
  find_package(GTest REQUIRED)
  # GoogleTest's headers are compiled once for all tests.
  file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/test_headers.cpp CONTENT "" @ONLY)
  add_library(nacre_test_headers OBJECT ${CMAKE_BINARY_DIR}/test_headers.cpp)
  target_link_libraries(nacre_test_headers PRIVATE GTest::gmock GTest::gtest)
  # As executables are compiled, or the compiler does not take the result.
  set_target_properties(nacre_test_headers PROPERTIES POSITION_INDEPENDENT_CODE OFF)
  target_compile_options(nacre_test_headers PRIVATE -fPIE -O0)
  target_precompile_headers(nacre_test_headers PRIVATE <gtest/gtest.h> <gmock/gmock.h>)
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
  # As the precompiled header is: matchers take the compiler two to three times as long with optimisation, and run once.
  target_compile_options(${name} PRIVATE -O0)
  target_link_libraries(${name} PRIVATE ${ARG_LIBS} GTest::gmock GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM nacre_test_headers)
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 120)
endfunction()
