# nacre_add_plugin(<name>
#   SOURCES <files>
#   ID <id> VERSION <version>
#   PROVIDES "<kind>:<driver>[:<bus>[:<alias>[:<alias>...]]]" ...
#   [REQUIRES <extension ids>] [OPTIONAL <extension ids>]
#   [TIER stable|locked] [MIN_ABI_MINOR <n>]
#   [SYSTEM_CALLS <names>]
#   [NAME <words>] [VENDOR <words>] [LICENSE <id>] [HOMEPAGE <url>] [SUPPORT <url>]
#   [LIBS <targets or library names>]
#   [NEEDS_KVM_FD] [WANTS_THREAD] [CAN_ISOLATE] [HAS_STATE])
#
# Makes the plugin <name>.so in ${CMAKE_BINARY_DIR}/plugins:
# - a C++20 module that sees the SDK's headers and exports the entry symbol alone: a version script makes sure of that,
#   since hidden visibility does not hold for templates of libraries that force their own;
# - with the ELF note that the host reads before it loads anything, made of the arguments. The same ID and VERSION reach
#   the entry as NACRE_PLUGIN_ID and NACRE_PLUGIN_VERSION;
# - with every symbol resolved at link time, so that it has no undefined symbol of the host;
# - checked after each link by check-plugin-link, which fails the build;
# - installed to ${CMAKE_INSTALL_LIBDIR}/nacre/plugins of the prefix by rename: writing over a library that a running
#   host has mapped would end that host.
# nacre_add_plugin_test(<plugin> SOURCES <files>)
#
# Makes the GoogleTest program <plugin>_test of the sources and registers it with ctest. It is linked with the fake host
# and finds the plugin's file by NACRE_PLUGIN_FILE. Where BUILD_TESTING is off it does nothing; where GoogleTest or the
# fake host is missing it says so and does nothing.
#
# SYSTEM_CALLS names those that the plugin's code makes beyond what core's sandbox allows everybody; sdk/README.md says
# more.
#
# One implementation serves Nacre's own tree and every other project: find_package(NacreSdk) includes this file.
# kind is device, machine, block, net or chardev. libgcc is taken from the shared library that libstdc++ brings anyway:
# a second unwinder of another version in the plugin would be a hazard and would cost memory.
#
# nacre_host_build_id(<variable> [<header>...]) gives the 40 hexadecimal digits of the host build that plugins of tier
# locked belong to: SHA-1 of the version and of the contract's headers. It is the same for the host, which gets it in the
# generated header core/plugin/version.hpp.
#
# NacreSdk_VERSION and NacreSdk_ABI_DIR (where nacre/abi/*.h is) come from find_package(), in the tree from its first
# file.
include_guard(GLOBAL)

function(nacre_host_build_id variable)
  file(GLOB headers CONFIGURE_DEPENDS ${NacreSdk_ABI_DIR}/nacre/abi/*.h)
  list(SORT headers)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${headers})
  set(sums "${NacreSdk_VERSION}")
  foreach(header ${headers})
    file(SHA1 ${header} sum)
    get_filename_component(name ${header} NAME)
    string(APPEND sums "\n${name} ${sum}")
  endforeach()
  string(SHA1 id "${sums}")
  set(${variable} ${id} PARENT_SCOPE)
endfunction()

# "a", "b" as the members of a JSON array.
function(_nacre_json_list variable)
  set(text "")
  set(comma "")
  foreach(item ${ARGN})
    _nacre_json_text(quoted "${item}")
    string(APPEND text "${comma}${quoted}")
    set(comma ",")
  endforeach()
  set(${variable} "[${text}]" PARENT_SCOPE)
endfunction()

function(_nacre_json_text variable text)
  string(REPLACE "\\" "\\\\" text "${text}")
  string(REPLACE "\"" "\\\"" text "${text}")
  set(${variable} "\"${text}\"" PARENT_SCOPE)
endfunction()

function(_nacre_json_provides variable)
  set(all "")
  set(comma "")
  foreach(item ${ARGN})
    string(REPLACE ":" ";" parts "${item}")
    list(POP_FRONT parts kind driver bus)
    if(NOT kind MATCHES "^(device|machine|block|net|chardev)$")
      message(FATAL_ERROR "nacre_add_plugin: PROVIDES \"${item}\": '${kind}' is not one of device, machine, block, net, chardev")
    endif()
    if(NOT driver MATCHES "^[A-Za-z0-9][A-Za-z0-9_.-]*$")
      message(FATAL_ERROR "nacre_add_plugin: PROVIDES \"${item}\": '${driver}' is not a driver name")
    endif()
    set(entry "{\"kind\":\"${kind}\",\"name\":\"${driver}\"")
    if(bus)
      string(APPEND entry ",\"bus\":\"${bus}\"")
    endif()
    if(parts)
      _nacre_json_list(aliases ${parts})
      string(APPEND entry ",\"aliases\":${aliases}")
    endif()
    string(APPEND all "${comma}${entry}}")
    set(comma ",")
  endforeach()
  set(${variable} "[${all}]" PARENT_SCOPE)
endfunction()

# Writes the C source of the note to `file`.
function(_nacre_write_note file)
  cmake_parse_arguments(ARG "NEEDS_KVM_FD;WANTS_THREAD;CAN_ISOLATE;HAS_STATE"
    "ID;VERSION;TIER;MIN_ABI_MINOR;NAME;VENDOR;LICENSE;HOMEPAGE;SUPPORT" "PROVIDES;REQUIRES;OPTIONAL;SYSTEM_CALLS" ${ARGN})
  set(json "{")
  foreach(key ID NAME VERSION VENDOR LICENSE HOMEPAGE SUPPORT)
    if(ARG_${key})
      _nacre_json_text(quoted "${ARG_${key}}")
      string(TOLOWER ${key} lower)
      string(APPEND json "\"${lower}\":${quoted},")
    endif()
  endforeach()
  _nacre_json_provides(provides ${ARG_PROVIDES})
  _nacre_json_list(requires ${ARG_REQUIRES})
  _nacre_json_list(optional ${ARG_OPTIONAL})
  string(APPEND json "\"provides\":${provides},\"requires\":${requires},\"optional\":${optional}")
  if(ARG_SYSTEM_CALLS)
    _nacre_json_list(calls ${ARG_SYSTEM_CALLS})
    string(APPEND json ",\"sandbox\":{\"system-calls\":${calls}}")
  endif()
  string(APPEND json "}")
  string(LENGTH "${json}" NOTE_JSON_SIZE)
  string(REPLACE "\\" "\\\\" NOTE_JSON "${json}")
  string(REPLACE "\"" "\\\"" NOTE_JSON "${NOTE_JSON}")

  set(NOTE_FLAGS 0)
  foreach(flag NEEDS_KVM_FD WANTS_THREAD CAN_ISOLATE HAS_STATE)
    if(ARG_${flag})
      string(APPEND NOTE_FLAGS " | NACRE_NOTE_${flag}")
    endif()
  endforeach()
  set(NOTE_MINOR_NEEDED NACRE_ABI_MINOR)
  if(DEFINED ARG_MIN_ABI_MINOR)
    set(NOTE_MINOR_NEEDED ${ARG_MIN_ABI_MINOR})
  endif()
  set(NOTE_TIER NACRE_TIER_STABLE)
  set(NOTE_BUILD_ID 0)
  if(ARG_TIER STREQUAL "locked")
    set(NOTE_TIER NACRE_TIER_LOCKED)
    nacre_host_build_id(id)
    string(REGEX REPLACE "(..)" "0x\\1," NOTE_BUILD_ID ${id})
  elseif(ARG_TIER AND NOT ARG_TIER STREQUAL "stable")
    message(FATAL_ERROR "nacre_add_plugin: TIER '${ARG_TIER}' is neither stable nor locked")
  endif()
  configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/note.c.in ${file} @ONLY)
endfunction()

function(nacre_add_plugin name)
  set(flags NEEDS_KVM_FD WANTS_THREAD CAN_ISOLATE HAS_STATE NO_INSTALL NO_LINK_CHECK)
  set(words ID VERSION TIER MIN_ABI_MINOR NAME VENDOR LICENSE HOMEPAGE SUPPORT OUTPUT_DIRECTORY)
  set(lists SOURCES PROVIDES REQUIRES OPTIONAL SYSTEM_CALLS LIBS)
  cmake_parse_arguments(ARG "${flags}" "${words}" "${lists}" ${ARGN})
  if(ARG_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "nacre_add_plugin(${name}): unknown arguments: ${ARG_UNPARSED_ARGUMENTS}")
  endif()
  foreach(needed SOURCES ID VERSION PROVIDES)
    if(NOT ARG_${needed})
      message(FATAL_ERROR "nacre_add_plugin(${name}): ${needed} is missing")
    endif()
  endforeach()
  if(NOT ARG_ID MATCHES "^[A-Za-z0-9][A-Za-z0-9_-]*(\\.[A-Za-z0-9][A-Za-z0-9_-]*)+$")
    message(FATAL_ERROR "nacre_add_plugin(${name}): ID '${ARG_ID}' is not a name like org.example.${name}")
  endif()
  if(NOT ARG_OUTPUT_DIRECTORY)
    set(ARG_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/plugins)
  endif()

  set(note_arguments "")
  foreach(flag NEEDS_KVM_FD WANTS_THREAD CAN_ISOLATE HAS_STATE)
    if(ARG_${flag})
      list(APPEND note_arguments ${flag})
    endif()
  endforeach()
  foreach(word ID VERSION TIER MIN_ABI_MINOR NAME VENDOR LICENSE HOMEPAGE SUPPORT)
    if(DEFINED ARG_${word})
      list(APPEND note_arguments ${word} "${ARG_${word}}")
    endif()
  endforeach()
  set(note ${CMAKE_CURRENT_BINARY_DIR}/${name}.note.c)
  _nacre_write_note(${note} ${note_arguments}
    PROVIDES ${ARG_PROVIDES} REQUIRES ${ARG_REQUIRES} OPTIONAL ${ARG_OPTIONAL}
    SYSTEM_CALLS ${ARG_SYSTEM_CALLS})
  set_source_files_properties(${note} PROPERTIES COMPILE_OPTIONS -Wno-overlength-strings)

  set(target ${name})
  if(TARGET ${target})
    set(target ${name}-plugin)
  endif()
  add_library(${target} MODULE ${ARG_SOURCES} ${note})
  target_link_libraries(${target} PRIVATE NacreSdk::sdk ${ARG_LIBS})
  get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
  if("CXX" IN_LIST languages)
    target_compile_features(${target} PRIVATE cxx_std_20)
  endif()
  target_compile_definitions(${target} PRIVATE
    NACRE_PLUGIN_ID="${ARG_ID}" NACRE_PLUGIN_VERSION="${ARG_VERSION}")
  # What an initializer of a structure of the contract leaves out is zero, and new fields come at the end.
  target_compile_options(${target} PRIVATE -fPIC -fvisibility=hidden -ffunction-sections -fdata-sections
    -Wno-missing-field-initializers
    $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>
    $<$<COMPILE_LANG_AND_ID:CXX,GNU>:-fno-gnu-unique>)
  set(script ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/plugin.exports)
  target_link_options(${target} PRIVATE
    -Wl,--version-script=${script} -Wl,-z,now -Wl,-z,relro -Wl,-z,noexecstack -Wl,--exclude-libs,ALL -Wl,--build-id
    -Wl,--as-needed -Wl,--gc-sections -Wl,-O1)
  # clang's sanitizers keep their run time in the program, so a module of theirs is never complete.
  if(NOT (CMAKE_CXX_COMPILER_ID MATCHES "Clang" AND "${CMAKE_CXX_FLAGS} ${NACRE_SANITIZE}" MATCHES "sanitize|address|thread"))
    target_link_options(${target} PRIVATE -Wl,-z,defs)
  endif()
  set_target_properties(${target} PROPERTIES
    PREFIX "" SUFFIX .so OUTPUT_NAME ${name} LIBRARY_OUTPUT_DIRECTORY ${ARG_OUTPUT_DIRECTORY}
    CXX_EXTENSIONS OFF SKIP_BUILD_RPATH ON LINK_DEPENDS "${script}")
  set_property(GLOBAL APPEND PROPERTY NACRE_PLUGINS ${target})

  if(NOT ARG_NO_LINK_CHECK)
    set(libraries "")
    foreach(library ${ARG_LIBS})
      if(TARGET ${library})
        get_target_property(type ${library} TYPE)
        if(type STREQUAL "SHARED_LIBRARY" OR type STREQUAL "UNKNOWN_LIBRARY")
          list(APPEND libraries $<TARGET_FILE_BASE_NAME:${library}>)
        endif()
      else()
        list(APPEND libraries ${library})
      endif()
    endforeach()
    list(TRANSFORM ARG_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ REGEX "^[^/]")
    set(check ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/check-plugin-link $<TARGET_FILE:${target}>
      --libs ${libraries} --sources ${ARG_SOURCES})
    add_custom_command(TARGET ${target} POST_BUILD VERBATIM COMMAND ${check})
    # For tests, which may hold it against the same file again.
    set_target_properties(${target} PROPERTIES NACRE_LINK_CHECK "${check}")
    set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/check-plugin-link)
  endif()

  if(NOT ARG_NO_INSTALL)
    # Here and not above: its variables are those of a directory, and this file is read once.
    include(GNUInstallDirs)
    # Absolute where the project says so; else of the prefix at the time of installation.
    set(directory ${CMAKE_INSTALL_LIBDIR}/nacre/plugins)
    if(NOT IS_ABSOLUTE ${directory})
      set(directory "\${CMAKE_INSTALL_PREFIX}/${directory}")
    endif()
    install(CODE "
      get_filename_component(directory \"${directory}\" ABSOLUTE)
      set(directory \"\$ENV{DESTDIR}\${directory}\")
      file(MAKE_DIRECTORY \"\${directory}\")
      file(COPY_FILE \"$<TARGET_FILE:${target}>\" \"\${directory}/.${name}.so.tmp\")
      if(CMAKE_INSTALL_DO_STRIP)
        execute_process(COMMAND \"${CMAKE_STRIP}\" \"\${directory}/.${name}.so.tmp\" COMMAND_ERROR_IS_FATAL ANY)
      endif()
      file(CHMOD \"\${directory}/.${name}.so.tmp\" PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
      file(RENAME \"\${directory}/.${name}.so.tmp\" \"\${directory}/${name}.so\")
      message(STATUS \"Installing: \${directory}/${name}.so\")")
  endif()
endfunction()

function(nacre_add_plugin_test plugin)
  cmake_parse_arguments(ARG "" "" "SOURCES" ${ARGN})
  if(NOT BUILD_TESTING)
    return()
  endif()
  find_package(GTest QUIET)
  if(NOT GTest_FOUND)
    message(STATUS "No GoogleTest (libgtest-dev), so ${plugin}_test is not built")
    return()
  elseif(NOT TARGET NacreSdk::fake)
    message(STATUS "The fake host needs libstdc++ and this compiler takes another C++ library, so ${plugin}_test is not built")
    return()
  endif()
  add_executable(${plugin}_test ${ARG_SOURCES})
  target_link_libraries(${plugin}_test PRIVATE NacreSdk::fake GTest::gtest_main)
  target_compile_definitions(${plugin}_test PRIVATE NACRE_PLUGIN_FILE="$<TARGET_FILE:${plugin}>")
  add_dependencies(${plugin}_test ${plugin})
  add_test(NAME ${plugin}_test COMMAND ${plugin}_test)
endfunction()
