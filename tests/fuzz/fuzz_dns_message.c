/* Answers of name servers: every walk through any bytes ends inside of them.
 *
 * The input is one message, in a heap block of its exact size. */
#include <stdint.h>
#include <stdlib.h>

#include "base/check.h"
#include "loop/dns_message.h"

static void check_names(struct tg_slice message) {
  char text[TG_DNS_NAME_TEXT];
  for (size_t start = 0; start < message.len && start < 512; start++) {
    size_t at = start;
    if (tg_dns_name_read(message, &at, text) != TG_OK) continue;
    TG_CHECK(at > start && at <= message.len);
    size_t len = strlen(text);
    TG_CHECK(len > 0 && len < TG_DNS_NAME_TEXT);
    for (size_t i = 0; i < len; i++) TG_CHECK(text[i] > ' ' && text[i] < 0x7f);
  }
}

static void check_records(struct tg_slice message) {
  struct tg_dns_reader reader;
  struct tg_dns_record record;
  uint32_t ttl = 0;
  bool has_a = false;
  size_t last = 0;
  if (tg_dns_reader_init(&reader, message) != TG_OK) {
    TG_CHECK(tg_dns_message_judge(message, TG_DNS_A, &ttl) == TG_EDNS_SERVFAIL);
    return;
  }
  while (tg_dns_reader_next(&reader, &record)) {
    TG_CHECK(record.at > last && record.at + record.length <= message.len);
    TG_CHECK(record.ttl <= INT32_MAX);
    last = record.at;
    if (record.section == TG_DNS_ANSWER && record.type == TG_DNS_A) has_a = true;
  }
  tg_status status = tg_dns_message_judge(message, TG_DNS_A, &ttl);
  TG_CHECK(ttl <= INT32_MAX && (status != TG_OK || has_a));
  TG_CHECK(!reader.malformed || status == TG_EDNS_SERVFAIL || status == TG_EDNS_REFUSED);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *copy = malloc(size ? size : 1);
  TG_CHECK(copy);
  if (size) memcpy(copy, data, size);
  check_names(tg_slice(copy, size));
  check_records(tg_slice(copy, size));
  free(copy);
  return 0;
}
