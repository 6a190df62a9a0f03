/* See precondition.h. Entity tags are read by one function, which walks a field's list and stops at
 * what is malformed; lists in several lines are one list (RFC 9110 section 5.3). */
#include "http/precondition.h"

#include "base/calendar.h"

/* ---- entity tags ---- */

/* Splits W/"abc" into its weakness and the quoted part; false when it is malformed. */
static bool split_tag(struct tg_slice tag, bool *weak, struct tg_slice *opaque) {
  *weak = tg_slice_starts(tag, TG_SLICE("W/"));
  if (*weak) tag = tg_slice_skip(tag, 2);
  *opaque = tag;
  return tag.len >= 2 && tag.ptr[0] == '"' && tag.ptr[tag.len - 1] == '"' &&
         !memchr(tag.ptr + 1, '"', tag.len - 2);
}

static bool same_tag(struct tg_slice a, struct tg_slice b, bool strong) {
  bool a_weak, b_weak;
  if (!split_tag(a, &a_weak, &a) || !split_tag(b, &b_weak, &b)) return false;
  return tg_slice_eq(a, b) && !(strong && (a_weak || b_weak));
}

/* Takes the next member off a list of entity tags; commas may stand inside of one. */
static bool next_tag(struct tg_slice *list, struct tg_slice *tag) {
  while (list->len && (list->ptr[0] == ',' || list->ptr[0] == ' ' || list->ptr[0] == '\t'))
    *list = tg_slice_skip(*list, 1);
  size_t at = tg_slice_starts(*list, TG_SLICE("W/")) ? 2 : 0;
  if (list->len <= at || list->ptr[at] != '"') return false;
  const char *end = memchr(list->ptr + at + 1, '"', list->len - at - 1);
  if (!end) return false;
  *tag = tg_slice(list->ptr, (size_t)(end + 1 - list->ptr));
  *list = tg_slice_skip(*list, tag->len);
  return true;
}

static bool list_has(struct tg_slice list, struct tg_slice etag, bool strong) {
  struct tg_slice tag;
  if (tg_slice_eq(tg_slice_trim(list), TG_SLICE("*"))) return true;
  while (next_tag(&list, &tag))
    if (same_tag(tag, etag, strong)) return true;
  return false;
}

/* ---- the fields ---- */

/* Looks through all lines of a field: 1 when one of them has the tag, 0 when none, -1 when there is
 * no such field. */
static int match(const struct tg_request *request, struct tg_slice name, struct tg_slice etag,
                 bool strong) {
  int result = -1;
  for (uint32_t i = 0; i < request->field_count; i++) {
    const struct tg_field *field = &request->fields[i];
    if (!tg_slice_ieq(field->name, name)) continue;
    if (list_has(field->value, etag, strong)) return 1;
    result = 0;
  }
  return result;
}

/* A date of a field; false where there is none, or it is malformed. */
static bool find_date(const struct tg_request *request, struct tg_slice name, int64_t now,
                      int64_t *date) {
  struct tg_slice value = tg_request_find(request, name);
  return value.len && tg_calendar_read_http(value, now, date) == TG_OK;
}

/* Has the request a field whose name begins with "If-"? Most have none, and pay for no search. */
static bool is_conditional(const struct tg_request *request) {
  for (uint32_t i = 0; i < request->field_count; i++) {
    struct tg_slice name = request->fields[i].name;
    if (name.len > 3 && name.ptr[2] == '-' && (name.ptr[0] | 0x20) == 'i' &&
        (name.ptr[1] | 0x20) == 'f')
      return true;
  }
  return false;
}

enum tg_precondition tg_precondition_check(const struct tg_request *request,
                                           const struct tg_validators *validators) {
  if (!is_conditional(request)) return TG_PRECONDITION_MET;
  bool reads = request->method == TG_METHOD_GET || request->method == TG_METHOD_HEAD;
  int64_t date;
  int found = match(request, TG_SLICE("If-Match"), validators->etag, true);
  if (found == 0) return TG_PRECONDITION_FAILED;
  if (found < 0 && validators->has_modified &&
      find_date(request, TG_SLICE("If-Unmodified-Since"), validators->now, &date) &&
      validators->modified > date)
    return TG_PRECONDITION_FAILED;
  found = match(request, TG_SLICE("If-None-Match"), validators->etag, false);
  if (found > 0) return reads ? TG_PRECONDITION_NOT_MODIFIED : TG_PRECONDITION_FAILED;
  if (found < 0 && reads && validators->has_modified &&
      find_date(request, TG_SLICE("If-Modified-Since"), validators->now, &date) &&
      validators->modified <= date)
    return TG_PRECONDITION_NOT_MODIFIED;
  return TG_PRECONDITION_MET;
}

/* A date tells two versions apart only when the second that it names is over (RFC 9110 section
 * 8.8.2.2). */
static bool same_version(struct tg_slice value, const struct tg_validators *validators) {
  int64_t date;
  if (value.ptr[0] == '"' || tg_slice_starts(value, TG_SLICE("W/")))
    return same_tag(value, validators->etag, true);
  return validators->has_modified &&
         tg_calendar_read_http(value, validators->now, &date) == TG_OK &&
         date == validators->modified && date < validators->now;
}

struct tg_slice tg_precondition_range(const struct tg_request *request,
                                      const struct tg_validators *validators) {
  struct tg_slice none = tg_slice(NULL, 0), range = none, version = none;
  if (request->method != TG_METHOD_GET) return none;
  for (uint32_t i = 0; i < request->field_count; i++) {
    const struct tg_field *field = &request->fields[i];
    bool is_range = tg_slice_ieq(field->name, TG_SLICE("Range"));
    if (!is_range && !tg_slice_ieq(field->name, TG_SLICE("If-Range"))) continue;
    struct tg_slice *place = is_range ? &range : &version;
    if (place->ptr) return none; /* neither is a list of lines */
    *place = field->value;
  }
  if (!range.len) return none;
  if (version.ptr && (!version.len || !same_version(version, validators))) return none;
  return range;
}
