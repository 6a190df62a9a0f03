/* Is a client that has ended its side still there?
 *
 * The end of its side (FIN) says too little: a client that will read its answer sends it, and so
 * does one that has closed the socket. What tells them apart is a byte: a closed socket answers it
 * with a reset. After a short time, in which most answers are made anyway, a client of HTTP/1.1
 * that still waits is sent the interim answer 100 (RFC 9110 section 15.2.1), which it must be ready
 * to skip; one that has the head of a chunked stream, a leading zero of the next chunk's size (RFC
 * 9112 section 7.1). Then the socket is looked at, less and less often, until the answer ends. A
 * client of HTTP/1.0 must not be sent an interim answer (section 15.2); it, and the reader of a
 * stream of a promised length, are taken to be there. */
#ifndef TG_SERVER_DEPARTURE_H
#define TG_SERVER_DEPARTURE_H

#include "base/status.h"

struct tg_connection;
struct tg_departure;

/* The client has ended its side while an exchange waits for its answer: watches from now on, once a
 * connection. The connection is aborted with TG_EDISCONNECT when it turns out to be gone. Without
 * memory nothing is watched. */
void tg_departure_watch(struct tg_connection *conn);

/* Ends it; harmless when there is none. */
void tg_departure_forget(struct tg_connection *conn);

#endif
