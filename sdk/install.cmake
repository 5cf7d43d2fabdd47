# `cmake --install BUILD --component sdk --prefix P`: what a plugin is made with, without this tree.
#
# P/include/nacre            the contract (abi/*.h) and the C++ layer (*.hpp)
# P/share/cmake/NacreSdk     find_package(NacreSdk) and nacre_add_plugin()
# P/include/nacre/fake, P/lib/libnacre_fake.a: a host without a guest, for tests of one's own
# P/bin/plugin-check         the conformance tool
# P/share/pkgconfig          nacre-sdk.pc, for other build systems
# P/share/nacre/template     what `nacre plugin new` writes
# P/share/nacre/examples     plugins in C and in Rust
# P/share/nacre/README.md    the authors' guide
# No file names P, so that the whole may be moved.
include(CMakePackageConfigHelpers)

set(sdk_cmake ${CMAKE_INSTALL_DATADIR}/cmake/NacreSdk)
set(sdk_made ${CMAKE_CURRENT_BINARY_DIR}/cmake)

# Of a build with sanitizers the library needs their run time.
set(NACRE_FAKE_LINK_OPTIONS "")
if(NACRE_SANITIZE)
  set(NACRE_FAKE_LINK_OPTIONS -fsanitize=${NACRE_SANITIZE})
endif()
configure_package_config_file(cmake/NacreSdkConfig.cmake.in ${sdk_made}/NacreSdkConfig.cmake
  INSTALL_DESTINATION ${sdk_cmake} PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR
  NO_SET_AND_CHECK_MACRO NO_CHECK_REQUIRED_COMPONENTS_MACRO)
# During 0.x each minor may change everything.
write_basic_package_version_file(${sdk_made}/NacreSdkConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)

# pkg-config finds the prefix by the place of its file.
file(RELATIVE_PATH SDK_PREFIX /prefix/${CMAKE_INSTALL_DATADIR}/pkgconfig /prefix)
string(REGEX REPLACE "/$" "" SDK_PREFIX ${SDK_PREFIX})
configure_file(cmake/nacre-sdk.pc.in ${sdk_made}/nacre-sdk.pc @ONLY)

install(DIRECTORY abi/nacre include/nacre DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT sdk
  FILES_MATCHING PATTERN *.h PATTERN *.hpp)
install(FILES ${sdk_made}/NacreSdkConfig.cmake ${sdk_made}/NacreSdkConfigVersion.cmake cmake/NacrePlugin.cmake
  cmake/note.c.in cmake/plugin.exports DESTINATION ${sdk_cmake} COMPONENT sdk)
install(PROGRAMS cmake/check-plugin-link DESTINATION ${sdk_cmake} COMPONENT sdk)
install(FILES ${sdk_made}/nacre-sdk.pc DESTINATION ${CMAKE_INSTALL_DATADIR}/pkgconfig COMPONENT sdk)

# The build tree has them where its `nacre` looks for them: beside itself.
file(GLOB_RECURSE templates RELATIVE ${CMAKE_CURRENT_SOURCE_DIR}/template CONFIGURE_DEPENDS template/*)
foreach(template ${templates})
  configure_file(template/${template} ${CMAKE_BINARY_DIR}/template/${template} COPYONLY)
endforeach()
install(DIRECTORY template examples DESTINATION ${CMAKE_INSTALL_DATADIR}/nacre COMPONENT sdk USE_SOURCE_PERMISSIONS)
install(FILES README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/nacre COMPONENT sdk)
