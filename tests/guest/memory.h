// memset and friends for the compiler, and the arena from which tests take buffers that a device reads and writes.
#ifndef NACRE_TESTS_GUEST_MEMORY_H_
#define NACRE_TESTS_GUEST_MEMORY_H_

#include "types.h"

void* memset(void* to, int byte, size_t count);
void* memcpy(void* to, const void* from, size_t count);
int memcmp(const void* a, const void* b, size_t count);
size_t strlen(const char* text);
int strcmp(const char* a, const char* b);
int strncmp(const char* a, const char* b, size_t count);

// Sets `count` bytes to zero, eight at a time: an emulated `rep stos` costs by the iteration.
void zero_memory(void* to, size_t count);

// Bytes of the arena, all of them usable by one test.
#define DMA_ARENA_BYTES (2u << 20)

// Returns `bytes` zeroed bytes aligned to 4 KiB, at most DMA_ARENA_BYTES between two dma_release_all(). Physical and
// virtual addresses are equal. Ends the guest with a FAIL line when the arena is used up.
void* dma_alloc(size_t bytes);

// Gives back all of the arena; the test runner calls it before each test.
void dma_release_all(void);

static inline u64 physical(const volatile void* pointer) {
  return (u64)(uintptr_t)pointer;
}

#endif
