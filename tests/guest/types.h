// Short names of the fixed-width types, as the virtio specification writes them.
#ifndef NACRE_TESTS_GUEST_TYPES_H_
#define NACRE_TESTS_GUEST_TYPES_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
