/* What `tidegate status` shows: the process's counters as JSON. */
#ifndef TG_APP_STATUS_REPORT_H
#define TG_APP_STATUS_REPORT_H

#include "base/buffer.h"

struct tg_process;

/* Appends one line of JSON. Main thread. */
TG_MUST_CHECK tg_status tg_process_status(struct tg_process *process, struct tg_buffer *out);

#endif
