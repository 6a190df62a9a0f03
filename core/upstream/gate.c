/* See gate.h. A place that is left goes to the first ticket of the queue within the same lock, so
 * that nobody who comes later can take it; the letter is posted after. */
#include "upstream/gate.h"

#include <stdlib.h>

#include "base/check.h"

struct tg_gate_ticket {
  struct tg_letter letter;
  struct tg_list link;
  bool let_in; /* it has left the queue with a place, and its letter is on the way */
  struct tg_gate *gate;
  struct tg_mailbox *mailbox;
  struct tg_gate_wait *wait; /* its loop's own; NULL: given up */
};

void tg_gate_init(struct tg_gate *gate) {
  *gate = (struct tg_gate){0};
  TG_CHECK(pthread_mutex_init(&gate->lock, NULL) == 0);
  tg_list_init(&gate->queue);
}

void tg_gate_deinit(struct tg_gate *gate) {
  TG_CHECK(tg_list_empty(&gate->queue));
  pthread_mutex_destroy(&gate->lock);
}

static bool is_full(const struct tg_gate *gate) {
  return gate->limit && gate->inside >= gate->limit;
}

/* Moves who fits in from the queue to `let_in`. The lock is held. */
static void admit(struct tg_gate *gate, struct tg_list *let_in) {
  while (gate->waiting && !is_full(gate)) {
    struct tg_list *link = tg_list_take_first(&gate->queue);
    TG_CONTAINER(link, struct tg_gate_ticket, link)->let_in = true;
    tg_list_append(let_in, link);
    gate->waiting--;
    gate->inside++;
  }
}

static void open_ticket(struct tg_letter *letter) {
  struct tg_gate_ticket *ticket = TG_CONTAINER(letter, struct tg_gate_ticket, letter);
  struct tg_gate_wait *wait = ticket->wait;
  struct tg_gate *gate = ticket->gate;
  free(ticket);
  if (!wait) {
    tg_gate_leave(gate);
    return;
  }
  wait->ticket = NULL;
  tg_timer_stop(&wait->loop->timers, &wait->timer);
  wait->ready(wait, TG_OK);
}

/* Tells those who were let in. A loop that has ended meanwhile has given its waits up before. */
static void tell(struct tg_gate *gate, struct tg_list *let_in) {
  struct tg_list *link;
  while ((link = tg_list_take_first(let_in))) {
    struct tg_gate_ticket *ticket = TG_CONTAINER(link, struct tg_gate_ticket, link);
    if (tg_mailbox_post(ticket->mailbox, &ticket->letter) == TG_OK) continue;
    free(ticket);
    pthread_mutex_lock(&gate->lock);
    gate->inside--;
    admit(gate, let_in);
    pthread_mutex_unlock(&gate->lock);
  }
}

void tg_gate_set(struct tg_gate *gate, uint32_t limit, uint32_t room) {
  struct tg_list let_in;
  tg_list_init(&let_in);
  pthread_mutex_lock(&gate->lock);
  gate->limit = limit;
  gate->room = room;
  admit(gate, &let_in);
  pthread_mutex_unlock(&gate->lock);
  tell(gate, &let_in);
}

void tg_gate_leave(struct tg_gate *gate) {
  struct tg_list let_in;
  tg_list_init(&let_in);
  pthread_mutex_lock(&gate->lock);
  TG_CHECK(gate->inside);
  gate->inside--;
  if (gate->waiting) admit(gate, &let_in);
  pthread_mutex_unlock(&gate->lock);
  tell(gate, &let_in);
}

static void on_deadline(struct tg_timer *timer) {
  struct tg_gate_wait *wait = TG_CONTAINER(timer, struct tg_gate_wait, timer);
  tg_gate_cancel(wait);
  wait->ready(wait, TG_ETIMEOUT);
}

/* Where there is no room at once. The lock is not held. */
static tg_status queue_up(struct tg_gate *gate, struct tg_loop *loop, struct tg_gate_wait *wait) {
  struct tg_gate_ticket *ticket = calloc(1, sizeof *ticket);
  if (!ticket) return TG_ENOMEM;
  ticket->letter.open = open_ticket;
  ticket->gate = gate;
  ticket->mailbox = &loop->mailbox;
  ticket->wait = wait;
  tg_list_init(&ticket->link);
  wait->ticket = ticket; /* before a letter may come */
  tg_status status = TG_EAGAIN;
  pthread_mutex_lock(&gate->lock);
  if (!is_full(gate) && !gate->waiting) {
    gate->inside++;
    status = TG_OK;
  } else if (gate->waiting >= gate->room) {
    gate->refused++;
    status = TG_EOVERLOAD;
  } else {
    tg_list_append(&gate->queue, &ticket->link);
    gate->waiting++;
  }
  pthread_mutex_unlock(&gate->lock);
  if (status == TG_EAGAIN) return status;
  wait->ticket = NULL;
  free(ticket);
  return status;
}

tg_status tg_gate_enter(struct tg_gate *gate, struct tg_loop *loop, struct tg_gate_wait *wait,
                        uint64_t deadline) {
  wait->gate = gate;
  wait->loop = loop;
  wait->ticket = NULL;
  wait->timer = (struct tg_timer){0};
  pthread_mutex_lock(&gate->lock);
  bool free_place = !is_full(gate) && !gate->waiting;
  if (free_place) gate->inside++;
  bool refused = !free_place && gate->waiting >= gate->room;
  gate->refused += refused;
  pthread_mutex_unlock(&gate->lock);
  if (free_place) return TG_OK;
  if (refused) return TG_EOVERLOAD;
  tg_status status = queue_up(gate, loop, wait);
  if (status != TG_EAGAIN || !deadline) return status;
  if (tg_timer_start(&loop->timers, &wait->timer, deadline, on_deadline) == TG_OK) return TG_EAGAIN;
  tg_gate_cancel(wait);
  return TG_ENOMEM;
}

tg_status tg_gate_try(struct tg_gate *gate) {
  pthread_mutex_lock(&gate->lock);
  bool free_place = !is_full(gate) && !gate->waiting;
  gate->inside += free_place;
  gate->refused += !free_place;
  pthread_mutex_unlock(&gate->lock);
  return free_place ? TG_OK : TG_EOVERLOAD;
}

void tg_gate_cancel(struct tg_gate_wait *wait) {
  struct tg_gate_ticket *ticket = wait->ticket;
  if (!ticket) return;
  struct tg_gate *gate = ticket->gate;
  wait->ticket = NULL;
  tg_timer_stop(&wait->loop->timers, &wait->timer);
  pthread_mutex_lock(&gate->lock);
  bool queued = !ticket->let_in;
  if (queued) {
    tg_list_remove(&ticket->link);
    gate->waiting--;
  } else {
    ticket->wait = NULL; /* the letter brings it home, and the place to the next */
  }
  pthread_mutex_unlock(&gate->lock);
  if (queued) free(ticket);
}
