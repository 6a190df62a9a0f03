/* The opening handshake: what is taken, what is refused with which status, and what is answered. */
#include "http/ws_handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/settings.h"
#include "http/h1.h"

#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define GET     "GET /chat HTTP/1.1\r\nHost: server.example.com\r\n"
#define GOOD    GET UPGRADE KEY VERSION

/* Parses a head and checks it; 101, or the status of the refusal. */
static int check(const char *head, const struct tg_ws_offer *offer, struct tg_ws_terms *terms) {
  struct tg_arena arena;
  struct tg_settings settings;
  struct tg_h1 h1;
  static char first[4096]; /* the arena poisons what it does not use */
  size_t used;
  tg_settings_init(&settings);
  tg_arena_init(&arena, first, sizeof first);
  tg_h1_init(&h1, &arena, &settings);
  char text[4096];
  strcpy(text, head);
  strcat(text, "\r\n");
  assert_int_equal(tg_h1_feed(&h1, tg_slice_cstr(text), &used), TG_H1_HEAD);
  struct tg_request_fault fault = {0};
  bool ok = tg_ws_handshake_check(&h1.request, offer, terms, &fault);
  if (!ok) assert_true(fault.text && fault.text[0]);
  tg_arena_reset(&arena);
  return ok ? 101 : fault.status;
}

static void heads(void **state) {
  (void)state;
  static const struct {
    const char *head;
    int status;
  } rows[] = {
      {GOOD, 101},
      {GET "Connection: keep-alive, Upgrade\r\nUpgrade: foo, WebSocket\r\n" KEY VERSION, 101},
      {GET "Connection: close\r\nConnection: upgrade\r\nUpgrade: websocket\r\n" KEY VERSION, 101},
      {GOOD "Content-Length: 0\r\n", 101},
      {GET, 426},
      {GET KEY VERSION, 426},
      {GET "Upgrade: websocket\r\n" KEY VERSION, 426},
      {GET "Connection: Upgrade\r\nUpgrade: h2c\r\n" KEY VERSION, 426},
      {GET UPGRADE KEY, 426},
      {GET UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", 426},
      {GET UPGRADE KEY "Sec-WebSocket-Version: 013\r\n", 426},
      {GET UPGRADE KEY VERSION "Sec-WebSocket-Version: 8\r\n", 400},
      {GET UPGRADE VERSION, 400},
      {GET UPGRADE KEY KEY VERSION, 400},
      {GET UPGRADE VERSION "Sec-WebSocket-Key: \r\n", 400},
      {GET UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n", 400},
      {GET UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=A\r\n", 400},
      {GET UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j_Q==\r\n", 400},
      {GET UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQdGhlIHN==\r\n", 400},
      {"GET / HTTP/1.0\r\nHost: h\r\n" UPGRADE KEY VERSION, 400},
      {"POST / HTTP/1.1\r\nHost: h\r\n" UPGRADE KEY VERSION, 400},
      {"HEAD / HTTP/1.1\r\nHost: h\r\n" UPGRADE KEY VERSION, 400},
      {GOOD "Content-Length: 3\r\n", 400},
      {GOOD "Transfer-Encoding: chunked\r\n", 400},
  };
  struct tg_ws_offer offer = {0};
  struct tg_ws_terms terms;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    int status = check(rows[i].head, &offer, &terms);
    if (status != rows[i].status) fail_msg("row %zu: %d", i, status);
  }
}

/* Section 1.3. */
static void accept_of_the_rfc(void **state) {
  (void)state;
  struct tg_ws_offer offer = {0};
  struct tg_ws_terms terms;
  assert_int_equal(check(GOOD, &offer, &terms), 101);
  assert_memory_equal(terms.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", TG_WS_ACCEPT_LEN);
  assert_int_equal(terms.protocol.len, 0);
}

static void subprotocols(void **state) {
  (void)state;
  static const struct tg_slice ours[] = {{"chat.v2", 7}, {"chat", 4}};
  static const struct {
    const char *fields, *chosen;
  } rows[] = {
      {"", ""},
      {"Sec-WebSocket-Protocol: chat\r\n", "chat"},
      {"Sec-WebSocket-Protocol: chat, chat.v2\r\n", "chat.v2"},
      {"Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: x,chat.v2\r\n", "chat.v2"},
      {"Sec-WebSocket-Protocol: CHAT, other\r\n", ""},
      {"Sec-WebSocket-Protocol: ,, ,chat,\r\n", "chat"},
  };
  struct tg_ws_offer offer = {.protocols = ours, .protocol_count = 2};
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char head[1024] = GOOD;
    struct tg_ws_terms terms;
    strcat(head, rows[i].fields);
    assert_int_equal(check(head, &offer, &terms), 101);
    if (!tg_slice_eq(terms.protocol, tg_slice_cstr(rows[i].chosen))) fail_msg("row %zu", i);
  }
}

static void origins(void **state) {
  (void)state;
  static const struct tg_slice some[] = {{"https://app.example.org", 23}, {"null", 4}};
  static const struct tg_slice all[] = {{"*", 1}};
  static const struct tg_ws_offer offers[] = {
      {0}, {.origins = some, .origin_count = 2}, {.origins = all, .origin_count = 1}};
  static const struct {
    const char *fields;
    int status[3]; /* by offer */
  } rows[] = {
      {"", {101, 101, 101}},
      {"Origin: http://server.example.com\r\n", {101, 101, 101}},
      {"Origin: https://SERVER.example.com\r\n", {101, 101, 101}},
      {"Origin: https://server.example.com:443\r\n", {101, 101, 101}},
      {"Origin: http://server.example.com:443\r\n", {403, 403, 101}},
      {"Origin: http://server.example.com:8080\r\n", {403, 403, 101}},
      {"Origin: http://example.com\r\n", {403, 403, 101}},
      {"Origin: http://evil.com/server.example.com\r\n", {403, 403, 101}},
      {"Origin: server.example.com\r\n", {403, 403, 101}},
      {"Origin: https://app.example.org\r\n", {403, 101, 101}},
      {"Origin: https://app.example.org.evil.com\r\n", {403, 403, 101}},
      {"Origin: null\r\n", {403, 101, 101}},
      {"Origin: \r\n", {403, 403, 101}},
      {"Origin: http://server.example.com\r\nOrigin: http://evil.com\r\n", {403, 403, 403}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    for (int k = 0; k < 3; k++) {
      char head[1024] = GOOD;
      struct tg_ws_terms terms;
      strcat(head, rows[i].fields);
      int status = check(head, &offers[k], &terms);
      if (status != rows[i].status[k]) fail_msg("row %zu, offer %d: %d", i, k, status);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(heads),
      cmocka_unit_test(accept_of_the_rfc),
      cmocka_unit_test(subprotocols),
      cmocka_unit_test(origins),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
