// Runs what the word `test=` names: tests and themes, separated by commas.
#include "console.h"
#include "interrupts.h"
#include "machine.h"
#include "memory.h"
#include "test.h"

void guest_main(enum boot_protocol protocol, u64 info);

static const struct theme* const kThemes[] = {&theme_basics,    &theme_rings,   &theme_hostile, &theme_hostile_rings,
                                              &theme_registers, &theme_smp,     &theme_serial,  &theme_readonly,
                                              &theme_load,      &theme_balloon, &theme_rng,
                                              &theme_pci,       &theme_pci_function, &theme_cpus,
                                              &theme_port};

static char reason[256];
static u32 passed, failed;

enum test_result test_fail(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  text_format(reason, sizeof reason, format, arguments);
  va_end(arguments);
  return TEST_FAIL;
}

enum test_result test_skip(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  text_format(reason, sizeof reason, format, arguments);
  va_end(arguments);
  return TEST_SKIP;
}

static void run(const struct test* test, bool named) {
  dma_release_all();
  enum test_result result = test->run();
  if (result == TEST_SKIP && named) result = TEST_FAIL;
  if (result == TEST_PASS) {
    ++passed;
    console_printf("PASS %s\n", test->name);
  } else if (result == TEST_SKIP) {
    console_printf("SKIP %s: %s\n", test->name, reason);
  } else {
    ++failed;
    console_printf("FAIL %s: %s\n", test->name, reason);
  }
}

static void run_word(const char* word) {
  bool found = false;
  for (u32 i = 0; i < COUNT_OF(kThemes); ++i) {
    const struct theme* theme = kThemes[i];
    bool whole = strcmp(word, theme->name) == 0 || (theme->in_all && strcmp(word, "all") == 0);
    for (u32 k = 0; k < theme->count; ++k) {
      bool named = strcmp(word, theme->tests[k].name) == 0;
      if (!whole && !named) continue;
      found = true;
      run(&theme->tests[k], named);
    }
  }
  if (found) return;
  ++failed;
  console_printf("FAIL %s: no test or theme has this name; test=list prints them\n", word);
}

static void list(void) {
  for (u32 i = 0; i < COUNT_OF(kThemes); ++i) {
    console_printf("THEME %s%s\n", kThemes[i]->name, kThemes[i]->in_all ? "" : " (not in all)");
    for (u32 k = 0; k < kThemes[i]->count; ++k) console_printf("TEST %s\n", kThemes[i]->tests[k].name);
  }
}

void guest_main(enum boot_protocol protocol, u64 info) {
  console_init();
  machine_init(protocol, info);
  interrupts_init();
  console_printf("BOOT %s ram_end=0x%lx top=0x%lx\n", protocol == BOOT_PVH ? "pvh" : "linux64", machine.low_ram_end,
                 machine.top_ram_end);
  char words[512] = "basics";
  word_text("test", words, sizeof words);
  for (char* word = words; *word;) {
    char* end = word;
    while (*end && *end != ',') ++end;
    char* next = *end ? end + 1 : end;
    *end = 0;
    if (strcmp(word, "list") == 0) {
      list();
    } else {
      run_word(word);
    }
    word = next;
  }
  console_printf("DONE %u %u\n", passed, failed);
  machine_exit();
}
