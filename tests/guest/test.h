// How a test is declared, and what it may say.
//
// A test is a function that returns TEST_PASS, or what CHECK, test_fail() or test_skip() return. A skip counts as a
// failure when the test was asked for by its own name.
#ifndef NACRE_TESTS_GUEST_TEST_H_
#define NACRE_TESTS_GUEST_TEST_H_

#include "types.h"

enum test_result { TEST_PASS, TEST_FAIL, TEST_SKIP };

struct test {
  const char* name;
  enum test_result (*run)(void);
};

struct theme {
  const char* name;
  const struct test* tests;
  u32 count;
  bool in_all;  // whether test=all includes it
};

// Record the reason; the last one is printed.
enum test_result test_fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
enum test_result test_skip(const char* format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition, ...)                        \
  do {                                               \
    if (!(condition)) return test_fail(__VA_ARGS__); \
  } while (0)

// Ends the test with this result unless it is TEST_PASS.
#define TRY(expression)                    \
  do {                                     \
    enum test_result tried = (expression); \
    if (tried != TEST_PASS) return tried;  \
  } while (0)

// Opens a `struct blk` as blk_open() does, or ends the test with the reason.
#define OPEN(blk, features, queues, size)                    \
  do {                                                       \
    const char* why = blk_open(blk, features, queues, size); \
    CHECK(!why, "%s", why);                                  \
  } while (0)

#define NEED_WRITABLE(blk)                                                            \
  do {                                                                                \
    if ((blk)->offered & BLK_FEATURE_RO) return test_skip("the device is read-only"); \
  } while (0)

extern const struct theme theme_basics, theme_rings, theme_hostile, theme_hostile_rings, theme_registers, theme_smp,
    theme_serial, theme_readonly, theme_load, theme_balloon, theme_rng, theme_pci, theme_pci_function, theme_cpus,
    theme_port;

#endif
