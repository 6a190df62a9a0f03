/* check and config: what would be served, and with which settings. */
#include <stdio.h>

#include "app/cli.h"
#include "app/offline.h"
#include "base/escape.h"
#include "base/number.h"

static int check(struct tg_offline *offline) {
  int exit = tg_offline_load(offline);
  if (exit) return exit;
  if (offline->options->json)
    printf("[]\n");
  else if (!offline->options->quiet)
    printf("ok: %u routes in %zu files\n", offline->generation->own_count,
           offline->generation->bundle->count);
  return TG_EXIT_OK;
}

int tg_command_check(const struct tg_options *options) {
  return tg_offline_run(options, check);
}

static void write_value(char out[TG_NUMBER_LEN + 1], const struct tg_setting_row *row,
                        double value) {
  if (row->kind == TG_SETTING_FLAG)
    snprintf(out, TG_NUMBER_LEN, "%s", value != 0 ? "true" : "false");
  else
    out[tg_number_write(value, out)] = 0;
}

static void print_row_json(const struct tg_setting_row *row, const char *value, const char *def,
                           bool is_first) {
  struct tg_buffer doc = {0};
  if (tg_escape_append(&doc, tg_slice_cstr(row->doc)) == TG_OK)
    printf("%s\n  {\"key\":\"%s\",\"value\":%s,\"default\":%s,\"doc\":%.*s}", is_first ? "" : ",",
           row->key, value, def, (int)doc.len, doc.data);
  tg_buffer_deinit(&doc);
}

static void print_text(const struct tg_setting_text_row *row, const char *value, bool json) {
  struct tg_buffer text = {0}, doc = {0};
  if (!json) {
    printf("%-24s %-12s %s\n", row->key, value[0] ? value : "-", row->doc);
  } else if (tg_escape_append(&doc, tg_slice_cstr(row->doc)) == TG_OK &&
             tg_escape_append(&text, tg_slice_cstr(value)) == TG_OK) {
    printf(",\n  {\"key\":\"%s\",\"value\":%.*s,\"default\":\"\",\"doc\":%.*s}", row->key,
           (int)text.len, text.data, (int)doc.len, doc.data);
  }
  tg_buffer_deinit(&text);
  tg_buffer_deinit(&doc);
}

static int config(struct tg_offline *offline) {
  int exit = tg_offline_load(offline);
  if (exit) return exit;
  const struct tg_settings *settings = &offline->generation->config.settings;
  bool json = offline->options->json;
  if (json) printf("[");
  for (const struct tg_setting_row *row = tg_settings_rows; row->key; row++) {
    char value[TG_NUMBER_LEN + 1], def[TG_NUMBER_LEN + 1];
    write_value(value, row, tg_settings_get(settings, row));
    write_value(def, row, row->def);
    if (json)
      print_row_json(row, value, def, row == tg_settings_rows);
    else
      printf("%-24s %-12s (%s) %s\n", row->key, value, def, row->doc);
  }
  for (const struct tg_setting_text_row *row = tg_settings_text_rows; row->key; row++)
    print_text(row, tg_settings_get_text(settings, row), json);
  if (json) printf("\n]\n");
  return TG_EXIT_OK;
}

int tg_command_config(const struct tg_options *options) {
  return tg_offline_run(options, config);
}
