/* The path of a URL -> the path of a file below a folder. Pure bytes. */
#ifndef TG_HTTP_FILE_PATH_H
#define TG_HTTP_FILE_PATH_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/status.h"

#define TG_FILE_PATH_MAX 4096 /* with its NUL: what the system takes */

/* Decodes `encoded`, the part of a path behind the folder's own ("css/a%20b.css"), without a '/' in
 * front. The answer ends with NUL; it is empty, or ends with '/', where a folder is meant. A name
 * holds any bytes but NUL and '/'. TG_ENOT_FOUND where no file can be meant: an encoded slash or
 * NUL, an empty name between slashes, "." and "..", a name that begins with '.' unless `hidden`, a
 * bad escape, too long. */
TG_MUST_CHECK tg_status tg_file_path_decode(struct tg_slice encoded, bool hidden,
                                            char out[TG_FILE_PATH_MAX]);

#endif
