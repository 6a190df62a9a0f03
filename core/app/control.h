/* The control socket: how `reload`, `status` and `stop` reach a running process.
 *
 * A unix socket, mode 0600, beside the pid file. One request a connection: a line of JSON
 * {"command": "reload"}; the answer is one line of JSON, then the end. `reload` answers when the
 * new generation serves, or with its errors. */
#ifndef TG_APP_CONTROL_H
#define TG_APP_CONTROL_H

#include "app/options.h"
#include "base/buffer.h"
#include "base/status.h"

struct tg_process;
struct tg_control_server;

/* Opens the socket on process->control and writes the pid file. *status tells why NULL was returned
 * (TG_EEXISTS: a live process has them already). */
struct tg_control_server *tg_control_open(struct tg_process *process, tg_status *status);

/* Ends connections, removes socket and pid file. */
void tg_control_close(struct tg_control_server *server);

/* The client: sends one command and appends the answer line. TG_ENOT_FOUND: nobody runs there.
 * `seconds` is the longest wait. Blocks; for the command line. */
TG_MUST_CHECK tg_status tg_control_ask(const struct tg_options *options, const char *request,
                                       double seconds, struct tg_buffer *answer);

/* Writes the path of pid file and socket for these options ("DIR/.tidegate/pid" and ".sock" beside
 * it). */
void tg_control_paths(const struct tg_options *options, char pid_file[4096],
                      char socket_path[4096]);

#endif
