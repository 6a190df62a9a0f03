/* Fields that go on through the gateway: which do, what is made of those that tell the way, and
 * what a backend's reply may say to the client. */
#include "http/forward_fields.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/forward_path.h"

#define FIELDS_MAX 40

/* "name: value" lines, separated by '|', as fields. */
static uint32_t parse(const char *text, struct tg_field out[FIELDS_MAX]) {
  uint32_t count = 0;
  while (*text) {
    size_t len = strcspn(text, "|"), name = strcspn(text, ":");
    out[count] =
        (struct tg_field){.name = tg_slice(text, name),
                          .value = tg_slice_trim(tg_slice(text + name + 1, len - name - 1))};
    out[count].known = tg_request_field_name(out[count].name);
    count++;
    text += len + (text[len] == '|');
  }
  return count;
}

static void show(const struct tg_forward_fields *fields, char *out, size_t size) {
  size_t at = 0;
  out[0] = 0;
  for (size_t i = 0; i < fields->count; i++)
    at += (size_t)snprintf(out + at, size - at, "%s%.*s: %.*s", i ? "|" : "",
                           (int)fields->list[i].name.len, fields->list[i].name.ptr,
                           (int)fields->list[i].value.len, fields->list[i].value.ptr);
}

static const struct tg_forward_rules no_rules;
static const struct tg_forward_client stranger = {.address = {"192.0.2.7", 9},
                                                  .name = {"gate-1", 6}};

static const char *forward(const char *text, const struct tg_forward_client *client,
                           const struct tg_forward_rules *rules, bool upgrade) {
  static char shown[4096];
  static char memory[8192];
  struct tg_arena arena;
  struct tg_field fields[FIELDS_MAX];
  struct tg_request request = {.minor = 1, .host = TG_SLICE("a.example"), .fields = fields};
  struct tg_forward_fields out;
  request.field_count = parse(text, fields);
  tg_arena_init(&arena, memory, sizeof memory);
  tg_status status = tg_forward_request(&arena, &request, client, rules, upgrade, &out);
  if (status)
    snprintf(shown, sizeof shown, "%s", tg_status_name(status));
  else
    show(&out, shown, sizeof shown);
  tg_arena_reset(&arena);
  return shown;
}

#define OWN                                                                         \
  "X-Forwarded-For: 192.0.2.7|X-Forwarded-Host: a.example|X-Forwarded-Proto: http|" \
  "Forwarded: for=192.0.2.7;host=a.example;proto=http|Via: 1.1 gate-1"

struct row {
  const char *given, *wanted;
};

static void test_52_hop_by_hop(void **state) {
  (void)state;
  static const struct row rows[] = {
      {"Accept: */*", "Accept: */*|" OWN},
      {"Host: a.example|X-A: 1", "X-A: 1|" OWN},
      {"Connection: close|X-A: 1", "X-A: 1|" OWN},
      {"Connection: X-A, close|X-A: 1|X-B: 2", "X-B: 2|" OWN},
      {"Connection: x-b|Connection: X-A|X-A: 1|X-B: 2", OWN},
      {"Keep-Alive: timeout=5|Proxy-Connection: keep-alive|TE: trailers|Trailer: X-T", OWN},
      {"Upgrade: websocket|Connection: upgrade", OWN},
      {"Proxy-Authorization: Basic eA==|Proxy-Authenticate: Basic", OWN},
      {"Expect: 100-continue|HTTP2-Settings: AAMAAABkAAQ|Proxy: http://evil", OWN},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_string_equal(forward(rows[i].given, &stranger, &no_rules, false), rows[i].wanted);
  assert_string_equal(forward("Upgrade: websocket|Connection: upgrade", &stranger, &no_rules, true),
                      "Upgrade: websocket|" OWN);
}

static void test_51_connection_names_what_it_must_not(void **state) {
  (void)state;
  assert_string_equal(forward("Connection: Content-Length, Transfer-Encoding, Host, Authorization, "
                              "Cookie|Authorization: Bearer x|Cookie: a=b",
                              &stranger, &no_rules, false),
                      "Authorization: Bearer x|Cookie: a=b|" OWN);
  assert_string_equal(
      forward("Connection: X-Forwarded-For, Forwarded, Via", &stranger, &no_rules, false), OWN);
  assert_string_equal(
      forward("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", &stranger, &no_rules, false),
      "invalid");
}

static void test_68_framing_is_never_forwarded(void **state) {
  (void)state;
  assert_string_equal(forward("Content-Length: 5", &stranger, &no_rules, false), OWN);
  assert_string_equal(forward("Transfer-Encoding: chunked", &stranger, &no_rules, false), OWN);
}

static void test_53_forged_way(void **state) {
  (void)state;
  assert_string_equal(
      forward("X-Forwarded-For: 1.2.3.4|x-forwarded-host: evil|X-FORWARDED-PROTO: https|"
              "Forwarded: for=1.2.3.4|X-Real-IP: 1.2.3.4|X-Forwarded-Port: "
              "1|X-Forwarded-Client-Cert: x",
              &stranger, &no_rules, false),
      OWN);
}

/* Who could say it of himself would be spared what a backend does not do for copies. */
static void test_copies_are_told_by_us(void **state) {
  (void)state;
  struct tg_forward_client proxy = stranger;
  proxy.trusted = true;
  assert_string_equal(forward("x-mirrored: 1", &stranger, &no_rules, false), OWN);
  assert_string_equal(forward("x-mirrored: 1", &proxy, &no_rules, false), "x-mirrored: 1|" OWN);
}

static void test_53_trusted_way(void **state) {
  (void)state;
  struct tg_forward_client proxy = stranger;
  proxy.trusted = true;
  assert_string_equal(
      forward("X-Forwarded-For: 1.2.3.4|X-Forwarded-Proto: https|X-Forwarded-For: 5.6.7.8|"
              "Forwarded: for=1.2.3.4;proto=https|X-Real-IP: 1.2.3.4|Via: 1.1 edge (x, y)",
              &proxy, &no_rules, false),
      "X-Forwarded-Proto: https|X-Real-IP: 1.2.3.4|"
      "X-Forwarded-For: 1.2.3.4, 5.6.7.8, 192.0.2.7|X-Forwarded-Host: a.example|"
      "Forwarded: for=1.2.3.4;proto=https, for=192.0.2.7;host=a.example;proto=http|"
      "Via: 1.1 edge (x, y), 1.1 gate-1");
}

static void test_addresses(void **state) {
  (void)state;
  struct tg_forward_client client = {
      .address = TG_SLICE("2001:db8::1"), .name = TG_SLICE("gate-1"), .secure = true};
  assert_non_null(
      strstr(forward("", &client, &no_rules, false),
             "X-Forwarded-For: 2001:db8::1|X-Forwarded-Host: a.example|X-Forwarded-Proto: "
             "https|Forwarded: for=\"[2001:db8::1]\";host=a.example;proto=https"));
  client.address = TG_SLICE("unix");
  assert_non_null(strstr(forward("", &client, &no_rules, false), "Forwarded: for=unknown;host"));
}

static void test_loops(void **state) {
  (void)state;
  assert_string_equal(forward("Via: 1.1 other, 1.1 gate-1", &stranger, &no_rules, false),
                      "loop_detected");
  assert_string_equal(forward("Via: 1.0 GATE-1 (it)", &stranger, &no_rules, false),
                      "loop_detected");
  assert_string_equal(
      forward("Via: gate-1", &stranger, &no_rules, false),
      "X-Forwarded-For: 192.0.2.7|X-Forwarded-Host: a.example|X-Forwarded-Proto: "
      "http|Forwarded: for=192.0.2.7;host=a.example;proto=http|Via: gate-1, 1.1 gate-1");
}

static void test_49_underscores(void **state) {
  (void)state;
  struct tg_forward_rules keep = {.underscores = true};
  assert_string_equal(forward("X_Auth: 1|X-Auth: 2|Content_Length: 3", &stranger, &no_rules, false),
                      "X-Auth: 2|" OWN);
  assert_string_equal(forward("X_Auth: 1|X-Auth: 2", &stranger, &keep, false),
                      "X_Auth: 1|X-Auth: 2|" OWN);
}

static void test_rules(void **state) {
  (void)state;
  struct tg_response_field set[] = {{TG_SLICE("x-from"), TG_SLICE("gate")},
                                    {TG_SLICE("x-forwarded-for"), TG_SLICE("none")}};
  struct tg_slice removed[] = {TG_SLICE("cookie"), TG_SLICE("forwarded"), TG_SLICE("via")};
  struct tg_forward_rules rules = {
      .set = set, .set_count = 2, .removed = removed, .removed_count = 3};
  assert_string_equal(forward("X-From: me|Cookie: a=b|X-B: 1", &stranger, &rules, false),
                      "X-B: 1|X-Forwarded-Host: a.example|X-Forwarded-Proto: http|x-from: "
                      "gate|x-forwarded-for: none");
}

static const char *answer(const char *text, const struct tg_forward_rules *rules, bool upgrade) {
  static char shown[4096];
  static char memory[4096];
  struct tg_arena arena;
  struct tg_field fields[FIELDS_MAX];
  struct tg_forward_fields out;
  uint32_t count = parse(text, fields);
  tg_arena_init(&arena, memory, sizeof memory);
  assert_int_equal(tg_forward_reply(&arena, fields, count, rules, upgrade, &out), TG_OK);
  show(&out, shown, sizeof shown);
  if (out.date.len)
    snprintf(shown + strlen(shown), sizeof shown - strlen(shown), "|date %.*s", (int)out.date.len,
             out.date.ptr);
  tg_arena_reset(&arena);
  return shown;
}

static void test_52_replies(void **state) {
  (void)state;
  struct tg_response_field set[] = {{TG_SLICE("x-gate"), TG_SLICE("1")}};
  struct tg_slice removed[] = {TG_SLICE("x-powered-by")};
  struct tg_forward_rules rules = {
      .set = set, .set_count = 1, .removed = removed, .removed_count = 1};
  assert_string_equal(
      answer("Content-Type: a/b|Content-Length: 5|Connection: X-A|X-A: 1|Keep-Alive: "
             "5|Set-Cookie: a|Set-Cookie: b|X_B: 1",
             &no_rules, false),
      "Content-Type: a/b|Set-Cookie: a|Set-Cookie: b|X_B: 1");
  assert_string_equal(
      answer("Transfer-Encoding: chunked|Upgrade: h2c|Date: then|Date: now|Via: 1.1 b", &no_rules,
             false),
      "Via: 1.1 b|date then");
  assert_string_equal(answer("Upgrade: websocket", &no_rules, true), "Upgrade: websocket");
  assert_string_equal(answer("X-Powered-By: php|X-Gate: 2", &rules, false), "x-gate: 1");
}

static void test_78_trailers(void **state) {
  (void)state;
  static const char *const barred[] = {
      "Content-Length",   "transfer-encoding", "HOST",         "Authorization",
      "Connection",       "Trailer",           "Content-Type", "Set-Cookie",
      "Content-Encoding", "X-Forwarded-For",   "TE",           "Via",
      "Cache-Control",    "Transfer_Encoding", "Date"};
  for (size_t i = 0; i < sizeof barred / sizeof *barred; i++)
    assert_false(tg_forward_trailer(tg_slice_cstr(barred[i])));
  assert_true(tg_forward_trailer(TG_SLICE("grpc-status")));
  assert_true(tg_forward_trailer(TG_SLICE("ETag")));
}

static void test_78_trailers_that_the_rules_speak_of(void **state) {
  (void)state;
  static char memory[1024];
  struct tg_arena arena;
  struct tg_field fields[FIELDS_MAX];
  struct tg_response_field *out;
  struct tg_response_field set[] = {{TG_SLICE("x-owner"), TG_SLICE("me")}};
  struct tg_slice removed[] = {TG_SLICE("x-debug")};
  struct tg_forward_rules rules = {
      .set = set, .set_count = 1, .removed = removed, .removed_count = 1};
  uint32_t count = parse("X-Sum: 7|X-Owner: you|X-Debug: 1|Cookie: a=b|X-End: 1", fields);
  tg_arena_init(&arena, memory, sizeof memory);
  assert_int_equal(tg_forward_trailers(&arena, fields, count, &rules, &out), 2);
  assert_true(tg_slice_eq(out[0].name, TG_SLICE("X-Sum")));
  assert_true(tg_slice_eq(out[0].value, TG_SLICE("7")));
  assert_true(tg_slice_eq(out[1].name, TG_SLICE("X-End")));
  assert_int_equal(tg_forward_trailers(&arena, fields, count, &no_rules, &out), 4);
  assert_int_equal(tg_forward_trailers(&arena, NULL, 0, &no_rules, &out), 0);
  tg_arena_reset(&arena);
}

static bool takes_trailers(const char *text) {
  static char memory[8192];
  struct tg_arena arena;
  struct tg_field fields[FIELDS_MAX];
  struct tg_request request = {.minor = 1, .host = TG_SLICE("a.example"), .fields = fields};
  struct tg_forward_fields out;
  request.field_count = parse(text, fields);
  tg_arena_init(&arena, memory, sizeof memory);
  assert_int_equal(tg_forward_request(&arena, &request, &stranger, &no_rules, false, &out), TG_OK);
  for (size_t i = 0; i < out.count; i++)
    assert_false(tg_slice_ieq(out.list[i].name, TG_SLICE("te")));
  tg_arena_reset(&arena);
  return out.takes_trailers;
}

static void test_te_is_of_one_connection(void **state) {
  (void)state;
  assert_true(takes_trailers("TE: trailers|Connection: TE"));
  assert_true(takes_trailers("Connection: close, te|te: gzip;q=0.5 , Trailers"));
  assert_true(takes_trailers("Connection: TE|TE: gzip|TE: trailers"));
  assert_false(takes_trailers("TE: trailers"));
  assert_false(takes_trailers("TE: trailers|Connection: close"));
  assert_false(takes_trailers("TE: gzip|Connection: TE"));
  assert_false(takes_trailers("TE: trailers;q=0|Connection: TE"));
  assert_false(takes_trailers("Connection: TE"));
}

/* "last", or the field as it goes on. */
static const char *count_down(enum tg_method method, const char *value) {
  static char shown[128];
  static char memory[8192];
  struct tg_arena arena;
  struct tg_field field = {.name = TG_SLICE("max-forwards"), .value = tg_slice_cstr(value)};
  struct tg_request request = {.method = method, .fields = &field, .field_count = 1};
  struct tg_forward_fields out;
  tg_arena_init(&arena, memory, sizeof memory);
  assert_int_equal(tg_forward_request(&arena, &request, &stranger, &no_rules, false, &out), TG_OK);
  snprintf(shown, sizeof shown, "%s%.*s", out.last ? "last " : "", (int)out.list[0].value.len,
           out.list[0].value.ptr);
  tg_arena_reset(&arena);
  return shown;
}

static void test_max_forwards_counts_down(void **state) {
  (void)state;
  assert_string_equal(count_down(TG_METHOD_OPTIONS, "5"), "4");
  assert_string_equal(count_down(TG_METHOD_OPTIONS, "100000000000000000"), "99999999999999999");
  assert_string_equal(count_down(TG_METHOD_OPTIONS, "1"), "0");
  assert_string_equal(count_down(TG_METHOD_OPTIONS, "0"), "last 0");
  assert_string_equal(count_down(TG_METHOD_OPTIONS, "000"), "last 000");
  for (size_t i = 0; i < 5; i++) { /* no numbers: they say nothing */
    static const char *const texts[] = {"", "-1", "5x", "0.0", "1000000000000000000000"};
    assert_string_equal(count_down(TG_METHOD_OPTIONS, texts[i]), texts[i]);
  }
  assert_string_equal(count_down(TG_METHOD_GET, "5"), "5");
  assert_string_equal(count_down(TG_METHOD_GET, "0"), "0");
  assert_false(tg_forward_trailer(TG_SLICE("Max-Forwards")));
}

static void test_climbing(void **state) {
  (void)state;
  static const char *const bad[] = {"/a/..%2fb", "/a/%2e%2e%2Fb",  "/..%5cb",      "/a%2f..",
                                    "/a%2F../b", "/a/..;/b",       "/a/..;x=1/b",  "/a%5c%2e.",
                                    "/%2e%2e",   "/a/b%2f..%2f..", "/a/.%2e;x%2fb"};
  static const char *const good[] = {"/",      "/a/b",       "/a%2fb",   "/a/...%2fb", "/a..%2fb",
                                     "/a;b/c", "/a%252f..b", "/..a%2fb", "/%2fa",      "/a/%2e%2f"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    if (!tg_forward_climbs(tg_slice_cstr(bad[i]))) fail_msg("%s", bad[i]);
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    if (tg_forward_climbs(tg_slice_cstr(good[i]))) fail_msg("%s", good[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_52_hop_by_hop),
      cmocka_unit_test(test_51_connection_names_what_it_must_not),
      cmocka_unit_test(test_68_framing_is_never_forwarded),
      cmocka_unit_test(test_53_forged_way),
      cmocka_unit_test(test_53_trusted_way),
      cmocka_unit_test(test_copies_are_told_by_us),
      cmocka_unit_test(test_addresses),
      cmocka_unit_test(test_loops),
      cmocka_unit_test(test_49_underscores),
      cmocka_unit_test(test_rules),
      cmocka_unit_test(test_52_replies),
      cmocka_unit_test(test_78_trailers),
      cmocka_unit_test(test_78_trailers_that_the_rules_speak_of),
      cmocka_unit_test(test_te_is_of_one_connection),
      cmocka_unit_test(test_max_forwards_counts_down),
      cmocka_unit_test(test_climbing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
