/* The part of a duplex that has to do with TLS; called by duplex.c alone. */
#ifndef TG_NET_DUPLEX_SECURE_H
#define TG_NET_DUPLEX_SECURE_H

#include "net/duplex.h"

/* Encrypted bytes have come, or (status) their end. */
void tg_duplex_secure_receive(struct tg_duplex *duplex, struct tg_slice bytes);
void tg_duplex_secure_end(struct tg_duplex *duplex, tg_status status);

/* As tg_duplex_write, which has looked at the rest. */
TG_MUST_CHECK tg_status tg_duplex_secure_send(struct tg_duplex *duplex,
                                              const struct tg_slice *parts, unsigned count);

/* Sends close_notify. */
void tg_duplex_secure_say_end(struct tg_duplex *duplex);

/* The duplex closes: no more steps. */
void tg_duplex_secure_stop(struct tg_duplex *duplex);

/* ---- of duplex.c ---- */

/* Plain bytes have come, or their end. */
void tg_duplex_feed(struct tg_duplex *duplex, struct tg_slice bytes);
void tg_duplex_end(struct tg_duplex *duplex, tg_status status);

/* Reads from the socket from now on. */
void tg_duplex_start(struct tg_duplex *duplex);

/* Tells a writer that waits for room, where there is enough. */
void tg_duplex_tell_room(struct tg_duplex *duplex);

/* Ends our side of the socket, where that was asked for and all is out. */
void tg_duplex_finish_writing(struct tg_duplex *duplex);

/* Sends bytes as they are: TG_OK, TG_EAGAIN or an error, as tg_duplex_write. */
TG_MUST_CHECK tg_status tg_duplex_send(struct tg_duplex *duplex, const struct tg_slice *parts,
                                       unsigned count);

/* Nothing more can be written. */
void tg_duplex_break_off(struct tg_duplex *duplex, tg_status status);

#endif
