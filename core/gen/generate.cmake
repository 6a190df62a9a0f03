# What the build writes itself, below <build>/gen: the version, the registry of modules and awaitables, and the embedded
# Lua files and assets. Sets generated_sources.

set(gen "${CMAKE_BINARY_DIR}/gen")

# --- version: a new commit is a reason to configure again

set(TG_VERSION_FULL "${PROJECT_VERSION}")
find_package(Git QUIET)
if(GIT_FOUND AND EXISTS "${CMAKE_SOURCE_DIR}/.git")
  execute_process(COMMAND "${GIT_EXECUTABLE}" describe --always --abbrev=10 --exclude=*
    WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}" OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(commit)
    set(TG_VERSION_FULL "${PROJECT_VERSION}+${commit}")
  endif()
  if(EXISTS "${CMAKE_SOURCE_DIR}/.git/logs/HEAD")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/.git/logs/HEAD")
  endif()
endif()
configure_file(core/base/version.h.in "${gen}/base/version.h" @ONLY)

# --- registry, blobs
# The generator leaves a file alone that would not change, and the stamp says that it ran, so that an edit of one
# bind/ file does not compile the embedded Lua files anew.

file(GLOB_RECURSE bind_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/core/bind/*.c")
file(GLOB_RECURSE await_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/core/await/*.c")
file(GLOB_RECURSE lua_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/lua/tidegate/*.lua")
list(FILTER lua_sources EXCLUDE REGEX "/lua/tidegate/_meta/")
file(GLOB_RECURSE asset_sources CONFIGURE_DEPENDS "${CMAKE_SOURCE_DIR}/lua/tidegate/_assets/*")
list(FILTER asset_sources EXCLUDE REGEX "\\.md$|SHA256SUMS$") # what they are, for readers of the tree

set(blob_kind bytecode)
get_target_property(luajit_definitions tg_luajit INTERFACE_COMPILE_DEFINITIONS)
if(luajit_definitions MATCHES TG_LUAJIT_STOCK)
  set(blob_kind source) # the program luajit and the library may be of different versions
endif()

# One argument a line, because a command line has a limit.
list(JOIN bind_sources "\n" bind_lines)
list(JOIN await_sources "\n" await_lines)
list(JOIN lua_sources "\n" lua_lines)
list(JOIN asset_sources "\n" asset_lines)
file(CONFIGURE OUTPUT "${gen}/inputs.txt" @ONLY
  CONTENT "${bind_lines}\n${await_lines}\n${lua_lines}\n${asset_lines}\n")

set(generated_sources "${gen}/registry.c" "${gen}/lua_blobs.c" "${gen}/assets.c")
add_custom_command(
  OUTPUT "${gen}/generated.stamp"
  BYPRODUCTS ${generated_sources}
  COMMAND "${TG_LUAJIT_PROGRAM}" core/gen/generate.lua "${CMAKE_SOURCE_DIR}" "${gen}" ${blob_kind}
  COMMAND "${CMAKE_COMMAND}" -E touch "${gen}/generated.stamp"
  DEPENDS core/gen/generate.lua "${gen}/inputs.txt" "${TG_LUAJIT_PROGRAM}"
    ${bind_sources} ${await_sources} ${lua_sources} ${asset_sources}
  WORKING_DIRECTORY "${CMAKE_SOURCE_DIR}"
  COMMENT "Generating registry and embedded Lua"
  VERBATIM)
set_source_files_properties(${generated_sources} PROPERTIES OBJECT_DEPENDS "${gen}/generated.stamp")
