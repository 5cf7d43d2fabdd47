/* Preloaded into the QEMU that emulates a host. QEMU 7.2's TCG ends itself when a nested guest writes CR8 while KVM waits
 * for a window to give it an interrupt: the write recomputes whether a virtual interrupt is pending, and raises it, if
 * so, without the lock that raising one asks for (target/i386, helper_write_crN; accel/tcg, tcg_handle_interrupt). EDK II
 * writes CR8 at the end of every interrupt, so firmware meets this within seconds, under any VMM.
 *
 * KVM asks for such a window with the highest priority, so CR8 changes nothing: the interrupt was pending before and is
 * raised already. Returning from the function that asserts is right. */
#include <libunwind.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* glib's, which g_assert() calls and which does not return to its caller. */
void g_assertion_message_expr(const char *domain, const char *file, int line, const char *function,
                              const char *expression) {
  (void)domain;
  if (function && strcmp(function, "tcg_handle_interrupt") == 0) {
    unw_context_t context;
    unw_cursor_t cursor;
    unw_getcontext(&context);
    unw_init_local(&cursor, &context);
    /* Out of this function, and out of the one that asserts, into generated code that nobody can step out of */
    if (unw_step(&cursor) > 0 && unw_step(&cursor) >= 0) unw_resume(&cursor);
  }
  fprintf(stderr, "%s:%d: %s: assertion failed: (%s)\n", file, line, function ? function : "?", expression);
  abort();
}
