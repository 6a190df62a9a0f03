/* Booting a state: the C functions that the Lua half of the standard library is given. */
#ifndef TG_SCRIPT_BOOT_H
#define TG_SCRIPT_BOOT_H

#include <lua.h>

/* For lua_cpcall with the vm as user data: opens Lua's libraries, installs the embedded modules,
 * runs _core/boot.lua with the table `core`, and keeps what it returns in the vm. Throws. */
int tg_boot_state(lua_State *L);

#endif
