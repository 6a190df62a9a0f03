/* Capabilities belong to threads, users to the process (by the C library's doing): so one thread
 * can keep some when all change their user. The system's calls are used as they are; a library
 * would be one more thing to need. */
#include "app/rights.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Low ports; files in folders of others. */
static const uint32_t kept = 1u << CAP_NET_BIND_SERVICE | 1u << CAP_DAC_OVERRIDE;

/* Of the calling thread, what it has of `mask`. */
static tg_status keep_only(uint32_t mask) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct rows[2] = {{0}};
  if (syscall(SYS_capget, &header, rows) != 0) return -errno;
  rows[0].permitted &= mask;
  rows[0].effective = rows[0].permitted;
  rows[0].inheritable = 0;
  rows[1] = (struct __user_cap_data_struct){0};
  return syscall(SYS_capset, &header, rows) == 0 ? TG_OK : -errno;
}

static tg_status become(const struct passwd *user) {
  if (initgroups(user->pw_name, user->pw_gid) != 0 || setgid(user->pw_gid) != 0 ||
      setuid(user->pw_uid) != 0)
    return -errno;
  return user->pw_uid ? keep_only(kept) : TG_OK;
}

tg_status tg_rights_begin(const char *name) {
  const struct passwd *user = getpwnam(name);
  if (!user) return TG_ENOT_FOUND;
  int at_parents_end = 0; /* the kernel forgets it when the user changes */
  if (prctl(PR_GET_PDEATHSIG, &at_parents_end) != 0 || prctl(PR_SET_KEEPCAPS, 1) != 0)
    return -errno;
  tg_status status = become(user);
  if (prctl(PR_SET_KEEPCAPS, 0) != 0 || prctl(PR_SET_PDEATHSIG, at_parents_end) != 0) return -errno;
  return status;
}

tg_status tg_rights_end(void) {
  return geteuid() ? keep_only(0) : TG_OK;
}
