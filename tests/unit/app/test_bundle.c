/* Reading applications from real folders: what is read, what is left, what is a fault. */
#include "app/bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "temp_dir.h"

static struct tg_bundle_fault *faults;
static size_t fault_count;

static struct tg_bundle *read_ok(const struct temp_dir *dir) {
  struct tg_bundle *bundle;
  assert_int_equal(tg_bundle_read(dir->path, NULL, &bundle, &faults, &fault_count), TG_OK);
  assert_null(faults);
  return bundle;
}

static void read_faults(const struct temp_dir *dir, const char *config) {
  struct tg_bundle *bundle;
  assert_int_equal(tg_bundle_read(dir->path, config, &bundle, &faults, &fault_count), TG_EINVALID);
  assert_null(bundle);
}

static void free_faults(void) {
  tg_bundle_faults_free(faults, fault_count);
  faults = NULL;
  fault_count = 0;
}

static void assert_fault(size_t index, const char *path, const char *part) {
  assert_true(index < fault_count);
  assert_string_equal(faults[index].path, path);
  assert_non_null(strstr(faults[index].message, part));
}

static void make_application(const struct temp_dir *dir) {
  temp_dir_write(dir, "tidegate.lua", "return {}");
  temp_dir_mkdir(dir, "routes");
  temp_dir_mkdir(dir, "routes/v1");
  temp_dir_mkdir(dir, "lib");
  temp_dir_write(dir, "routes/index.lua", "return 1");
  temp_dir_write(dir, "routes/_group.lua", "return 2");
  temp_dir_write(dir, "routes/v1/users.lua", "return 3");
  temp_dir_write(dir, "lib/users.lua", "return 4");
}

static void test_reads_config_routes_and_lib_in_order(void **state) {
  struct temp_dir *dir = *state;
  make_application(dir);
  struct tg_bundle *bundle = read_ok(dir);
  static const struct {
    const char *path;
    enum tg_file_kind kind;
    const char *source;
  } expected[] = {{"lib/users.lua", TG_FILE_LIB, "return 4"},
                  {"routes/_group.lua", TG_FILE_GROUP, "return 2"},
                  {"routes/index.lua", TG_FILE_ROUTE, "return 1"},
                  {"routes/v1/users.lua", TG_FILE_ROUTE, "return 3"},
                  {"tidegate.lua", TG_FILE_CONFIG, "return {}"}};
  assert_int_equal(bundle->count, 5);
  for (size_t i = 0; i < 5; i++) {
    assert_string_equal(bundle->files[i].path, expected[i].path);
    assert_int_equal(bundle->files[i].kind, expected[i].kind);
    assert_true(tg_slice_eq(bundle->files[i].source, tg_slice_cstr(expected[i].source)));
    assert_ptr_equal(tg_bundle_find(bundle, tg_slice_cstr(expected[i].path)), &bundle->files[i]);
  }
  assert_null(tg_bundle_find(bundle, TG_SLICE("routes/index")));
  assert_null(tg_bundle_find(bundle, TG_SLICE("routes/index.lua2")));
  assert_null(tg_bundle_find(bundle, TG_SLICE("")));
  assert_string_equal(bundle->dir, dir->path);
  tg_bundle_free(bundle);
}

static void test_leaves_editors_and_private_names(void **state) {
  struct temp_dir *dir = *state;
  temp_dir_mkdir(dir, "routes");
  temp_dir_mkdir(dir, "routes/_parts");
  temp_dir_mkdir(dir, "routes/.git");
  temp_dir_mkdir(dir, "lib");
  static const char *const left[] = {
      "routes/a.lua~", "routes/#a.lua#",      "routes/.a.lua.swp",  "routes/.#b.lua",
      "routes/_a.lua", "routes/_parts/a.lua", "routes/.git/a.lua",  "routes/notes.txt",
      "routes/.lua",   "lib/.#users.lua",     "lib/users.lua.orig", "elsewhere.lua"};
  for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) temp_dir_write(dir, left[i], "x");
  temp_dir_link(dir, "nobody@nowhere:1", "routes/.#lock.lua");
  temp_dir_write(dir, "lib/_private.lua", "y");
  struct tg_bundle *bundle = read_ok(dir);
  assert_int_equal(bundle->count, 1);
  assert_string_equal(bundle->files[0].path, "lib/_private.lua");
  tg_bundle_free(bundle);
}

static void test_reads_all_of_templates_but_left_overs(void **state) {
  struct temp_dir *dir = *state;
  temp_dir_mkdir(dir, "routes");
  temp_dir_mkdir(dir, "templates");
  temp_dir_mkdir(dir, "templates/_parts");
  temp_dir_mkdir(dir, "templates/folder.html");
  static const char *const kept[] = {"templates/_page.html", "templates/_parts/row.html",
                                     "templates/feed", "templates/folder.html/x.txt",
                                     "templates/page.html"};
  static const char *const left[] = {"templates/page.html~", "templates/#page.html#",
                                     "templates/.page.html.swp", "templates/_parts/.x"};
  for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) temp_dir_write(dir, left[i], "x");
  for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) temp_dir_write(dir, kept[i], "y");
  temp_dir_link(dir, "nobody@nowhere:1", "templates/.#lock.html");
  struct tg_bundle *bundle = read_ok(dir);
  assert_int_equal(bundle->count, sizeof kept / sizeof kept[0]);
  for (size_t i = 0; i < bundle->count; i++) {
    assert_string_equal(bundle->files[i].path, kept[i]);
    assert_int_equal(bundle->files[i].kind, TG_FILE_TEMPLATE);
  }
  tg_bundle_free(bundle);
  temp_dir_link(dir, "nowhere", "templates/broken.html");
  assert_int_equal(mkfifo(temp_dir_path(dir, "templates/pipe"), 0600), 0);
  read_faults(dir, NULL);
  assert_int_equal(fault_count, 2);
  assert_fault(0, "templates/broken.html", "leads nowhere");
  assert_fault(1, "templates/pipe", "not a regular file");
  free_faults();
}

static void test_keeps_nul_bytes_and_empty_files(void **state) {
  struct temp_dir *dir = *state;
  temp_dir_mkdir(dir, "routes");
  temp_dir_write(dir, "routes/empty.lua", "");
  FILE *file = fopen(temp_dir_path(dir, "routes/nul.lua"), "w");
  assert_int_equal(fwrite("a\0b", 1, 3, file), 3);
  fclose(file);
  struct tg_bundle *bundle = read_ok(dir);
  assert_int_equal(bundle->files[0].source.len, 0);
  assert_true(tg_slice_eq(bundle->files[1].source, tg_slice("a\0b", 3)));
  tg_bundle_free(bundle);
}

static void test_every_fault_is_told(void **state) {
  struct temp_dir *dir = *state;
  temp_dir_mkdir(dir, "routes");
  temp_dir_mkdir(dir, "tidegate.lua");
  temp_dir_mkdir(dir, "routes/folder.lua");
  temp_dir_link(dir, "nowhere", "routes/broken.lua");
  temp_dir_link(dir, "../routes", "routes/circle");
  temp_dir_link(dir, "loop", "routes/loop");
  assert_int_equal(mkfifo(temp_dir_path(dir, "routes/pipe.lua"), 0600), 0);
  temp_dir_write(dir, "routes/large.lua", "");
  assert_int_equal(truncate(temp_dir_path(dir, "routes/large.lua"), (16 << 20) + 1), 0);
  temp_dir_write(dir, "lib", "not a folder");
  read_faults(dir, NULL);
  assert_int_equal(fault_count, 7);
  size_t at = 0;
  assert_fault(at++, "lib", "not a folder");
  assert_fault(at++, "routes/broken.lua", "leads nowhere");
  assert_fault(at++, "routes/circle", "back to routes");
  assert_fault(at++, "routes/folder.lua", "a folder");
  assert_fault(at++, "routes/large.lua", "larger than 16 MiB");
  assert_fault(at++, "routes/pipe.lua", "not a regular file");
  assert_fault(at++, "tidegate.lua", "not a regular file");
  free_faults();
}

static void test_missing_routes_is_a_fault(void **state) {
  struct temp_dir *dir = *state;
  read_faults(dir, NULL);
  assert_int_equal(fault_count, 1);
  assert_fault(0, "routes", "No such file");
  free_faults();
}

static void test_config_elsewhere(void **state) {
  struct temp_dir *dir = *state;
  make_application(dir);
  temp_dir_mkdir(dir, "etc");
  temp_dir_write(dir, "etc/other.lua", "return { loops = 1 }");
  const char *config = temp_dir_path(dir, "etc/other.lua");
  struct tg_bundle *bundle;
  assert_int_equal(tg_bundle_read(dir->path, config, &bundle, &faults, &fault_count), TG_OK);
  struct tg_bundle_file *file = tg_bundle_find(bundle, tg_slice_cstr(config));
  assert_non_null(file);
  assert_int_equal(file->kind, TG_FILE_CONFIG);
  assert_null(tg_bundle_find(bundle, TG_SLICE("tidegate.lua")));
  tg_bundle_free(bundle);
  read_faults(dir, "/nowhere/tidegate.lua");
  assert_fault(0, "/nowhere/tidegate.lua", "No such file");
  free_faults();
}

static void test_follows_links(void **state) {
  struct temp_dir *dir = *state;
  temp_dir_mkdir(dir, "v1");
  temp_dir_mkdir(dir, "v1/routes");
  temp_dir_write(dir, "v1/routes/a.lua", "one");
  temp_dir_link(dir, "v1", "data");
  temp_dir_link(dir, "data/routes", "routes");
  temp_dir_link(dir, "a.lua", "v1/routes/b.lua");
  struct tg_bundle *bundle = read_ok(dir);
  assert_int_equal(bundle->count, 2);
  assert_true(tg_slice_eq(bundle->files[1].source, TG_SLICE("one")));
  tg_bundle_free(bundle);
}

static void test_the_hash_tells_contents_apart(void **state) {
  struct temp_dir *dir = *state;
  uint64_t before, after;
  make_application(dir);
  struct tg_bundle *bundle = read_ok(dir);
  assert_int_equal(tg_bundle_hash(dir->path, NULL, &before), TG_OK);
  assert_true(before == bundle->hash);
  tg_bundle_free(bundle);

  temp_dir_write(dir, "routes/index.lua", "return 2");
  assert_int_equal(tg_bundle_hash(dir->path, NULL, &after), TG_OK);
  assert_true(before != after);
  temp_dir_write(dir, "routes/index.lua", "return 1");
  assert_int_equal(tg_bundle_hash(dir->path, NULL, &after), TG_OK);
  assert_true(before == after);

  temp_dir_rename(dir, "routes/index.lua", "routes/other.lua");
  assert_int_equal(tg_bundle_hash(dir->path, NULL, &after), TG_OK);
  assert_true(before != after);
  temp_dir_rename(dir, "routes", "gone");
  uint64_t broken;
  assert_int_equal(tg_bundle_hash(dir->path, NULL, &broken), TG_OK);
  assert_true(broken != after && broken != before);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, temp_dir_setup, temp_dir_teardown)
  const struct CMUnitTest tests[] = {
      TEST(test_reads_config_routes_and_lib_in_order),
      TEST(test_leaves_editors_and_private_names),
      TEST(test_reads_all_of_templates_but_left_overs),
      TEST(test_keeps_nul_bytes_and_empty_files),
      TEST(test_every_fault_is_told),
      TEST(test_missing_routes_is_a_fault),
      TEST(test_config_elsewhere),
      TEST(test_follows_links),
      TEST(test_the_hash_tells_contents_apart),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
