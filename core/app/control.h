/* The control socket: how `reload`, `status` and `stop` reach a running process.
 *
 * A unix socket, mode 0600, beside the pid file. One request a connection: a line of JSON
 * {"command": "reload"}; the answer is one line of JSON, then the end. Every answer has "ok":
 *   reload  {"ok":true,"generation":3,"routes":12,"milliseconds":41.2}, when the new generation
 *           serves; or {"ok":false,"errors":[..],"text":".."} with the errors of loading
 *   status  {"ok":true,"status":{..}}
 *   stop    {"ok":true,"pid":123}, at once, before anything has ended
 * and what is not understood {"ok":false,"text":".."}.
 *
 * The pid file is locked as long as the process lives: its first line is the pid, its
 * second the path of the socket. A file that nobody holds locked is a dead process's, and is
 * replaced. */
#ifndef TG_APP_CONTROL_H
#define TG_APP_CONTROL_H

#include <sys/types.h>

#include "app/options.h"
#include "base/buffer.h"
#include "base/status.h"

#define TG_CONTROL_REQUEST_MAX 65536 /* bytes of a request line */
#define TG_CONTROL_SILENCE     5000  /* milliseconds that a client has to send it, or to read */

struct tg_process;
struct tg_control_server;

/* Opens the socket on process->control and writes the pid file. *status tells why NULL was returned
 * (TG_EEXISTS: a live process has them already, see tg_control_pid). */
struct tg_control_server *tg_control_open(struct tg_process *process, tg_status *status);

/* Ends connections, removes socket and pid file. A reload that a client waits for must still be
 * told its outcome (tg_reload_cb), then or later. */
void tg_control_close(struct tg_control_server *server);

/* The client: sends one command and appends the answer line. TG_ENOT_FOUND: nobody runs there.
 * `seconds` is the longest wait. Blocks; for the command line. */
TG_MUST_CHECK tg_status tg_control_ask(const struct tg_options *options, const char *request,
                                       double seconds, struct tg_buffer *answer);

/* The process that holds the pid file of these options; 0 when there is none. */
pid_t tg_control_pid(const struct tg_options *options);

/* Writes the path of pid file and socket for these options ("DIR/.tidegate/pid" and "pid.sock"
 * beside it, or, where that is too long for a socket, one below /tmp). */
void tg_control_paths(const struct tg_options *options, char pid_file[4096],
                      char socket_path[4096]);

#endif
