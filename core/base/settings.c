/* The settings table as data: defaults, ranges and access by key. */
#include "base/settings.h"

#include <math.h>

const struct tg_setting_row tg_settings_rows[] = {
#define ROW(key, field, kind, def, min, max, doc) \
  {key, TG_SETTING_##kind, def, min, max, doc, offsetof(struct tg_settings, field)},
    TG_SETTINGS_MAP(ROW)
#undef ROW
        {0}};

const struct tg_setting_text_row tg_settings_text_rows[] = {
#define ROW(key, field, bytes, doc) {key, doc, bytes, offsetof(struct tg_settings, field)},
    TG_SETTINGS_TEXT_MAP(ROW)
#undef ROW
        {0}};

static uint64_t *slot(struct tg_settings *settings, const struct tg_setting_row *row) {
  return (uint64_t *)(void *)((char *)settings + row->offset);
}

void tg_settings_init(struct tg_settings *settings) {
  *settings = (struct tg_settings){0};
  for (const struct tg_setting_row *row = tg_settings_rows; row->key; row++)
    *slot(settings, row) = (uint64_t)(row->kind == TG_SETTING_SECONDS ? row->def * 1e9 : row->def);
}

const struct tg_setting_row *tg_settings_find(struct tg_slice key) {
  for (const struct tg_setting_row *row = tg_settings_rows; row->key; row++)
    if (tg_slice_eq(tg_slice_cstr(row->key), key)) return row;
  return NULL;
}

tg_status tg_settings_set(struct tg_settings *settings, const struct tg_setting_row *row,
                          double value) {
  if (!(value >= row->min && value <= row->max)) return TG_ERANGE;
  if (row->kind != TG_SETTING_SECONDS && value != floor(value)) return TG_ERANGE;
  *slot(settings, row) = (uint64_t)(row->kind == TG_SETTING_SECONDS ? value * 1e9 + 0.5 : value);
  return TG_OK;
}

double tg_settings_get(const struct tg_settings *settings, const struct tg_setting_row *row) {
  double value = (double)*(const uint64_t *)(const void *)((const char *)settings + row->offset);
  return row->kind == TG_SETTING_SECONDS ? value / 1e9 : value;
}

tg_status tg_settings_set_text(struct tg_settings *settings, const struct tg_setting_text_row *row,
                               struct tg_slice text) {
  char *field = (char *)settings + row->offset;
  if (text.len >= row->size || memchr(text.ptr, 0, text.len)) return TG_ETOO_LARGE;
  memcpy(field, text.ptr, text.len);
  field[text.len] = 0;
  return TG_OK;
}

const char *tg_settings_get_text(const struct tg_settings *settings,
                                 const struct tg_setting_text_row *row) {
  return (const char *)settings + row->offset;
}
