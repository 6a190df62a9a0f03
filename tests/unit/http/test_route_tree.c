/* The route tree: order of preference, methods, conflicts, patterns that are refused, and bounded
 * time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/clock.h"
#include "http/route_tree.h"

#define BIT(name) TG_METHOD_BIT(TG_METHOD_##name)

struct fixture {
  struct tg_route_tree *tree;
  struct tg_arena arena;
  struct tg_route_match match;
};

static int setup(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  f->tree = tg_route_tree_new();
  tg_arena_init(&f->arena, NULL, 0);
  *state = f;
  return f->tree ? 0 : -1;
}

static int teardown(void **state) {
  struct fixture *f = *state;
  tg_route_tree_free(f->tree);
  tg_arena_reset(&f->arena);
  free(f);
  return 0;
}

static void add(struct fixture *f, uint32_t methods, const char *pattern, uint32_t id) {
  uint32_t other = 0;
  const char *why = NULL;
  if (tg_route_tree_add(f->tree, methods, tg_slice_cstr(pattern), id, &other, &why))
    fail_msg("%s: %s (other %u)", pattern, why ? why : "conflict", other);
}

static enum tg_route_result find(struct fixture *f, enum tg_method method, const char *path) {
  return tg_route_tree_find(f->tree, method, tg_slice_cstr(path), &f->arena, &f->match);
}

#define assert_route(f, method, path, id)                                \
  do {                                                                   \
    assert_int_equal(find(f, TG_METHOD_##method, path), TG_ROUTE_FOUND); \
    assert_int_equal((f)->match.route, id);                              \
  } while (0)

static void assert_param(const struct fixture *f, uint32_t index, const char *text) {
  assert_true(index < f->match.param_count);
  if (!tg_slice_eq(f->match.params[index], tg_slice_cstr(text)))
    fail_msg("parameter %u is not %s", index, text);
}

static void f15_static_beats_typed_beats_name_beats_path(void **state) {
  struct fixture *f = *state;
  add(f, BIT(GET), "/u/{rest:path}", 6);
  add(f, BIT(GET), "/u/{name}", 5);
  add(f, BIT(GET), "/u/{n:num}", 4);
  add(f, BIT(GET), "/u/{n:int}", 3);
  add(f, BIT(GET), "/u/{n:uuid}", 2);
  add(f, BIT(GET), "/u/me", 1);
  assert_route(f, GET, "/u/me", 1);
  assert_int_equal(f->match.param_count, 0);
  assert_route(f, GET, "/u/0123abcd-0123-ABCD-0123-0123456789ab", 2);
  assert_route(f, GET, "/u/-42", 3);
  assert_route(f, GET, "/u/4.25", 4);
  assert_route(f, GET, "/u/mee", 5);
  assert_param(f, 0, "mee");
  assert_route(f, GET, "/u/me/more/", 6);
  assert_param(f, 0, "me/more/");
  assert_int_equal(find(f, TG_METHOD_GET, "/u/"), TG_ROUTE_NOT_FOUND);
  assert_int_equal(find(f, TG_METHOD_GET, "/u"), TG_ROUTE_NOT_FOUND);
}

static void preference_goes_from_the_left_and_goes_back(void **state) {
  struct fixture *f = *state;
  add(f, BIT(GET), "/a/{x}/c", 1);
  add(f, BIT(GET), "/a/b/d", 2);
  add(f, BIT(GET), "/{p}/b/{rest:path}", 3);
  add(f, BIT(GET), "/{all:path}", 4);
  assert_route(f, GET, "/a/b/d", 2);
  assert_route(f, GET, "/a/b/c", 1);
  assert_param(f, 0, "b");
  assert_int_equal(f->match.param_count, 1);
  assert_route(f, GET, "/a/b/e/f", 3);
  assert_int_equal(f->match.param_count, 2);
  assert_param(f, 0, "a");
  assert_param(f, 1, "e/f");
  assert_route(f, GET, "/a/x/e", 4);
  assert_int_equal(f->match.param_count, 1);
  assert_param(f, 0, "a/x/e");
}

static void root_and_trailing_slash_are_paths_of_their_own(void **state) {
  struct fixture *f = *state;
  add(f, BIT(GET), "/", 1);
  add(f, BIT(GET), "/a", 2);
  assert_route(f, GET, "/", 1);
  assert_route(f, GET, "/a", 2);
  assert_int_equal(find(f, TG_METHOD_GET, "/a/"), TG_ROUTE_NOT_FOUND);
  assert_int_equal(find(f, TG_METHOD_GET, "//"), TG_ROUTE_NOT_FOUND);
  assert_int_equal(find(f, TG_METHOD_GET, ""), TG_ROUTE_NOT_FOUND);
  assert_int_equal(find(f, TG_METHOD_GET, "*"), TG_ROUTE_NOT_FOUND);
  assert_int_equal(find(f, TG_METHOD_GET, "a"), TG_ROUTE_NOT_FOUND);
  add(f, BIT(GET), "/a/", 3);
  assert_route(f, GET, "/a/", 3);
  assert_route(f, GET, "/a", 2);
}

static void the_method_is_looked_at_after_the_path(void **state) {
  struct fixture *f = *state;
  add(f, BIT(GET), "/a/b", 1);
  add(f, BIT(POST), "/a/{x}", 2);
  add(f, BIT(PUT) | BIT(PATCH), "/{y}/b", 3);
  assert_route(f, GET, "/a/b", 1);
  assert_route(f, POST, "/a/b", 2);
  assert_param(f, 0, "b");
  assert_route(f, PATCH, "/a/b", 3);
  assert_param(f, 0, "a");
  assert_int_equal(find(f, TG_METHOD_DELETE, "/a/b"), TG_ROUTE_METHOD);
  assert_int_equal(f->match.allow,
                   BIT(GET) | BIT(HEAD) | BIT(POST) | BIT(PUT) | BIT(PATCH) | BIT(OPTIONS));
  assert_int_equal(find(f, TG_METHOD_GET, "/a/c"), TG_ROUTE_METHOD);
  assert_int_equal(f->match.allow, BIT(POST) | BIT(OPTIONS));
  assert_int_equal(find(f, TG_METHOD_GET, "/c"), TG_ROUTE_NOT_FOUND);
  assert_int_equal(f->match.allow, 0);
}

static void head_and_options_follow_unless_a_route_names_them(void **state) {
  struct fixture *f = *state;
  add(f, BIT(GET), "/x", 1);
  assert_route(f, HEAD, "/x", 1);
  assert_int_equal(find(f, TG_METHOD_OPTIONS, "/x"), TG_ROUTE_METHOD);
  assert_int_equal(f->match.allow, BIT(GET) | BIT(HEAD) | BIT(OPTIONS));
  add(f, BIT(HEAD), "/x", 2);
  add(f, BIT(OPTIONS), "/x", 3);
  assert_route(f, HEAD, "/x", 2);
  assert_route(f, GET, "/x", 1);
  assert_route(f, OPTIONS, "/x", 3);
  add(f, TG_METHOD_ANY, "/any/{p}", 4);
  assert_route(f, HEAD, "/any/1", 4);
  assert_route(f, PURGE, "/any/1", 4);
  assert_int_equal(find(f, TG_METHOD_TRACE, "/any/1"), TG_ROUTE_METHOD);
  assert_int_equal(find(f, TG_METHOD_NONE, "/any/1"), TG_ROUTE_METHOD);
  assert_int_equal(f->match.allow, TG_METHOD_ANY);
}

static void same_pattern_and_method_is_a_conflict(void **state) {
  struct fixture *f = *state;
  uint32_t other = 0;
  const char *why = NULL;
  add(f, BIT(GET) | BIT(PUT), "/a/{id:int}/b", 7);
  assert_int_equal(tg_route_tree_add(f->tree, BIT(POST) | BIT(PUT), TG_SLICE("/a/{other:int}/b"), 8,
                                     &other, &why),
                   TG_ECONFLICT);
  assert_int_equal(other, 7);
  assert_int_equal(find(f, TG_METHOD_POST, "/a/1/b"), TG_ROUTE_METHOD);
  add(f, BIT(POST), "/a/{other:int}/b", 9); /* another method, another name */
  assert_route(f, POST, "/a/1/b", 9);
  add(f, BIT(GET), "/a/{id}/b", 10); /* another type: both can be reached */
  assert_route(f, GET, "/a/1/b", 7);
  assert_route(f, GET, "/a/z/b", 10);
  add(f, BIT(GET), "/caf\xC3\xA9", 11);
  assert_int_equal(tg_route_tree_add(f->tree, BIT(GET), TG_SLICE("/caf%C3%A9"), 12, &other, &why),
                   TG_ECONFLICT);
  assert_int_equal(other, 11);
}

static void typed_values_are_exact(void **state) {
  struct fixture *f = *state;
  add(f, BIT(GET), "/i/{v:int}", 1);
  add(f, BIT(GET), "/n/{v:num}", 2);
  add(f, BIT(GET), "/u/{v:uuid}", 3);
  static const char *const good[] = {
      "/i/0",
      "/i/-0",
      "/i/007",
      "/i/9223372036854775807",
      "/i/-9223372036854775808",
      "/n/0",
      "/n/-1.5",
      "/n/12345678901234567890",
      "/n/0.000001",
      "/u/00000000-0000-0000-0000-000000000000",
      "/u/%30a000000-0000-0000-0000-00000000000f",
  };
  static const char *const bad[] = {
      "/i/",
      "/i/-",
      "/i/+1",
      "/i/1a",
      "/i/a",
      "/i/1.0",
      "/i/ 1",
      "/i/0x10",
      "/i/9223372036854775808",
      "/i/-9223372036854775809",
      "/i/99999999999999999999999",
      "/i/1%00",
      "/n/",
      "/n/-",
      "/n/.5",
      "/n/5.",
      "/n/1e5",
      "/n/1.2.3",
      "/n/nan",
      "/n/inf",
      "/n/--1",
      "/u/0000000-00000-0000-0000-000000000000",
      "/u/g0000000-0000-0000-0000-000000000000",
      "/u/00000000-0000-0000-0000-00000000000",
      "/u/00000000000000000000000000000000",
      "/u/00000000-0000-0000-0000-0000000000000",
  };
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
    if (find(f, TG_METHOD_GET, good[i]) != TG_ROUTE_FOUND) fail_msg("%s is refused", good[i]);
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
    if (find(f, TG_METHOD_GET, bad[i]) != TG_ROUTE_NOT_FOUND) fail_msg("%s is taken", bad[i]);
}

static void encoded_segments_are_compared_decoded(void **state) {
  struct fixture *f = *state;
  add(f, BIT(GET), "/caf\xC3\xA9/{x}", 1);
  add(f, BIT(GET), "/a%20b", 2);
  add(f, BIT(GET), "/p%2fq", 3);
  add(f, BIT(GET), "/n/{id:int}", 4);
  assert_route(f, GET, "/caf%C3%a9/a%2Fb", 1);
  assert_param(f, 0, "a%2Fb"); /* still encoded, and an encoded slash ends no segment */
  assert_route(f, GET, "/%63af\xC3\xA9/z", 1);
  assert_route(f, GET, "/a%20b", 2);
  assert_route(f, GET, "/p%2Fq", 3);
  assert_int_equal(find(f, TG_METHOD_GET, "/p/q"), TG_ROUTE_NOT_FOUND);
  assert_route(f, GET, "/n/%31%32", 4);
  assert_param(f, 0, "%31%32");
  assert_int_equal(find(f, TG_METHOD_GET, "/n/%31x"), TG_ROUTE_NOT_FOUND);
}

static void malformed_patterns_are_refused(void **state) {
  struct fixture *f = *state;
  static const char *const bad[] = {
      "",        "a",       "//",          "/a//b",      "/{}",        "/{a",          "/a}",
      "/{a}b",   "/b{a}",   "/{a}{b}",     "/{a:}",      "/{a:float}", "/{:int}",      "/{1a}",
      "/{a-b}",  "/{a b}",  "/{r:path}/x", "/{r:path}/", "/{a}/{a}",   "/a b",         "/a?x",
      "/a#x",    "/*",      "/%",          "/%4",        "/%zz",       "/.",           "/..",
      "/a/../b", "/%2e%2E", "/a\\b",       "/a\tb",      "/\x7F",      "/{a:int:int}",
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    uint32_t other;
    const char *why = NULL;
    tg_status status = tg_route_tree_add(f->tree, BIT(GET), tg_slice_cstr(bad[i]), 1, &other, &why);
    if (status != TG_EINVALID || !why) fail_msg("%s: status %d", bad[i], status);
  }
  uint32_t other;
  const char *why = NULL;
  assert_int_equal(tg_route_tree_add(f->tree, 0, TG_SLICE("/a"), 1, &other, &why), TG_EINVALID);
  assert_int_equal(tg_route_tree_add(f->tree, BIT(GET), tg_slice("/a\0b", 4), 1, &other, &why),
                   TG_EINVALID);
}

/* Builds "/x" times count, with something before and after. */
static char *repeated(const char *unit, size_t count, const char *tail) {
  size_t len = strlen(unit);
  char *text = malloc(len * count + strlen(tail) + 1);
  for (size_t i = 0; i < count; i++) memcpy(text + i * len, unit, len);
  memcpy(text + len * count, tail, strlen(tail) + 1);
  return text;
}

static void limits_of_patterns(void **state) {
  struct fixture *f = *state;
  uint32_t other;
  const char *why = NULL;
  char *deep = repeated("/a", TG_ROUTE_DEPTH_MAX, "");
  add(f, BIT(GET), deep, 1);
  assert_route(f, GET, deep, 1);
  free(deep);
  char *deeper = repeated("/a", TG_ROUTE_DEPTH_MAX + 1, "");
  assert_int_equal(tg_route_tree_add(f->tree, BIT(GET), tg_slice_cstr(deeper), 1, &other, &why),
                   TG_EINVALID);
  free(deeper);
  char wide[256] = "";
  for (int i = 0; i < 16; i++)
    snprintf(wide + strlen(wide), sizeof wide - strlen(wide), "/{p%d}", i);
  add(f, BIT(GET), wide, 2);
  assert_route(f, GET, "/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16", 2);
  assert_int_equal(f->match.param_count, TG_ROUTE_PARAMS_MAX);
  assert_param(f, 15, "16");
  snprintf(wide + strlen(wide), sizeof wide - strlen(wide), "/{q}");
  assert_int_equal(tg_route_tree_add(f->tree, BIT(GET), tg_slice_cstr(wide), 1, &other, &why),
                   TG_EINVALID);
  char *longest = repeated("b", TG_ROUTE_SEGMENT_MAX, "");
  longest[0] = '/'; /* 254 bytes of segment */
  add(f, BIT(GET), longest, 3);
  assert_route(f, GET, longest, 3);
  free(longest);
  char *longer = repeated("b", TG_ROUTE_SEGMENT_MAX + 2, "");
  longer[0] = '/';
  assert_int_equal(tg_route_tree_add(f->tree, BIT(GET), tg_slice_cstr(longer), 1, &other, &why),
                   TG_EINVALID);
  free(longer);
}

/* Every node is entered at most once, so that neither thousands of segments nor the worst mix of
 * alternatives makes a search long. */
static void two_thousand_segments_are_answered_at_once(void **state) {
  struct fixture *f = *state;
  char pattern[256];
  for (int mask = 0; mask < 1024; mask++) { /* all mixes of {x}, {x:int} over ten segments */
    pattern[0] = 0;
    for (int i = 0; i < 10; i++)
      snprintf(pattern + strlen(pattern), 16, mask >> i & 1 ? "/{p%d}" : "/{p%d:int}", i);
    snprintf(pattern + strlen(pattern), sizeof pattern - strlen(pattern), "/end");
    add(f, BIT(GET), pattern, (uint32_t)mask);
  }
  char *many = repeated("/1", 2000, "");
  char *encoded = repeated("/%31", 2000, "");
  uint64_t begin = tg_clock_thread_cpu();
  for (int i = 0; i < 100; i++) {
    assert_int_equal(find(f, TG_METHOD_GET, many), TG_ROUTE_NOT_FOUND);
    assert_int_equal(find(f, TG_METHOD_GET, encoded), TG_ROUTE_NOT_FOUND);
    tg_arena_reset(&f->arena);
  }
  assert_true(tg_clock_thread_cpu() - begin < 2 * TG_SECOND);
  free(many);
  free(encoded);
  assert_route(f, GET, "/1/2/3/4/5/6/7/8/9/10/end", 0);
  assert_route(f, GET, "/1/2/3/4/5/6/7/8/9/x/end", 512);
}

static void many_siblings_are_all_found(void **state) {
  struct fixture *f = *state;
  char path[64];
  for (uint32_t i = 0; i < 3000; i++) {
    snprintf(path, sizeof path, "/s/route-%u", i);
    add(f, BIT(GET), path, i);
  }
  for (uint32_t i = 0; i < 3000; i++) {
    snprintf(path, sizeof path, "/s/route-%u", i);
    assert_route(f, GET, path, i);
  }
  assert_int_equal(find(f, TG_METHOD_GET, "/s/route-3000"), TG_ROUTE_NOT_FOUND);
}

static void patterns_tell_their_parameters(void **state) {
  (void)state;
  struct tg_route_param params[TG_ROUTE_PARAMS_MAX];
  uint32_t count = 99;
  const char *why = NULL;
  assert_int_equal(
      tg_route_tree_parse_pattern(TG_SLICE("/a/{id:int}/{x}/{r:path}"), params, &count, &why),
      TG_OK);
  assert_int_equal(count, 3);
  assert_true(tg_slice_eq(params[0].name, TG_SLICE("id")));
  assert_int_equal(params[0].kind, TG_ROUTE_INT);
  assert_true(tg_slice_eq(params[1].name, TG_SLICE("x")));
  assert_int_equal(params[1].kind, TG_ROUTE_NAME);
  assert_true(tg_slice_eq(params[2].name, TG_SLICE("r")));
  assert_int_equal(params[2].kind, TG_ROUTE_PATH);
  assert_true(tg_slice_eq(tg_route_kind_name(TG_ROUTE_UUID), TG_SLICE("uuid")));
  assert_int_equal(tg_route_tree_parse_pattern(TG_SLICE("/{a}/{a}"), params, &count, &why),
                   TG_EINVALID);
  assert_non_null(why);
}

struct seen {
  uint32_t count;
  uint32_t routes[8];
  uint32_t winner;
  uint32_t params_of_last;
};

static void on_route(void *owner, uint32_t route, uint32_t methods, const struct tg_slice *params,
                     uint32_t param_count, bool wins) {
  struct seen *seen = owner;
  assert_true(methods != 0);
  if (param_count) assert_true(params[0].len > 0);
  seen->routes[seen->count++] = route;
  seen->params_of_last = param_count;
  if (wins) seen->winner = route;
}

static void explain_lists_all_that_match_best_first(void **state) {
  struct fixture *f = *state;
  add(f, BIT(GET), "/{rest:path}", 4);
  add(f, BIT(POST), "/a/{id}", 3);
  add(f, BIT(GET), "/a/{id:int}", 2);
  add(f, BIT(PUT), "/a/7", 1);
  add(f, BIT(GET), "/b/7", 5);
  struct seen seen = {.winner = 99};
  tg_route_tree_explain(f->tree, TG_METHOD_HEAD, TG_SLICE("/a/7"), &f->arena, on_route, &seen);
  assert_int_equal(seen.count, 4);
  for (uint32_t i = 0; i < 4; i++) assert_int_equal(seen.routes[i], i + 1);
  assert_int_equal(seen.winner, 2);
  assert_int_equal(seen.params_of_last, 1);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
  const struct CMUnitTest tests[] = {
      TEST(f15_static_beats_typed_beats_name_beats_path),
      TEST(preference_goes_from_the_left_and_goes_back),
      TEST(root_and_trailing_slash_are_paths_of_their_own),
      TEST(the_method_is_looked_at_after_the_path),
      TEST(head_and_options_follow_unless_a_route_names_them),
      TEST(same_pattern_and_method_is_a_conflict),
      TEST(typed_values_are_exact),
      TEST(encoded_segments_are_compared_decoded),
      TEST(malformed_patterns_are_refused),
      TEST(limits_of_patterns),
      TEST(two_thousand_segments_are_answered_at_once),
      TEST(many_siblings_are_all_found),
      TEST(patterns_tell_their_parameters),
      TEST(explain_lists_all_that_match_best_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
