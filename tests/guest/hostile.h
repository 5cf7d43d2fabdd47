// What hostile tests share: a request that starts out correct and is then spoiled, and the verdict on the device.
#ifndef NACRE_TESTS_GUEST_HOSTILE_H_
#define NACRE_TESTS_GUEST_HOSTILE_H_

#include "blk.h"
#include "test.h"

extern struct blk hostile_blk;
extern struct blk_request* hostile_request;
extern u8* hostile_data;  // 4 KiB

enum hostile_outcome {
  OUTCOME_SILENCE,    // nothing happened
  OUTCOME_BROKEN,     // DEVICE_NEEDS_RESET
  OUTCOME_REFUSED,    // the request came back with an error status, or with its status byte untouched
  OUTCOME_COMPLETED,  // the request came back with status OK
};

// Opens the device with one queue of 64 entries and every feature, and writes into descriptors 0, 1 and 2 a read of
// sector 0: header, 512 bytes of data, status. Returns NULL, or why it failed.
const char* hostile_open(void);

#define HOSTILE_OPEN()                \
  do {                                \
    const char* why = hostile_open(); \
    CHECK(!why, "%s", why);           \
  } while (0)

// Writes a descriptor of queue 0.
void hostile_desc(u16 index, u64 address, u32 length, u16 flags, u16 next);

// Makes `head` available, notifies, and waits at most `ticks`.
enum hostile_outcome hostile_kick(u16 head, u64 ticks);

// Waits at most `ticks` for what a notification already sent leads to.
enum hostile_outcome hostile_outcome(u64 ticks);

// Makes descriptor `head` available; passes when the device refuses or breaks within the timeout and, after a reset,
// serves a read.
enum test_result hostile_expect_refusal(u16 head);

// Resets the device and reads a sector. NULL, or what went wrong.
const char* hostile_recover(void);

#define RECOVER(what)                                \
  do {                                               \
    const char* why = hostile_recover();             \
    CHECK(!why, "%s: after a reset, %s", what, why); \
  } while (0)

// Long enough for a device to do what it is going to do, where doing nothing is allowed.
#define SHORT_WAIT_TICKS 20000000ull

#endif
