#include "memory.h"

#include "console.h"
#include "machine.h"

void* memset(void* to, int byte, size_t count) {
  void* destination = to;
  __asm__ volatile("rep stosb" : "+D"(destination), "+c"(count) : "a"(byte) : "memory");
  return to;
}

void* memcpy(void* to, const void* from, size_t count) {
  void* destination = to;
  size_t words = count / 8, rest = count % 8;
  __asm__ volatile("rep movsq" : "+D"(destination), "+S"(from), "+c"(words) : : "memory");
  __asm__ volatile("rep movsb" : "+D"(destination), "+S"(from), "+c"(rest) : : "memory");
  return to;
}

int memcmp(const void* a, const void* b, size_t count) {
  const u8* left = a;
  const u8* right = b;
  for (size_t i = 0; i < count; ++i) {
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  }
  return 0;
}

size_t strlen(const char* text) {
  const char* end = text;
  while (*end) ++end;
  return (size_t)(end - text);
}

int strcmp(const char* a, const char* b) {
  while (*a && *a == *b) ++a, ++b;
  return (u8)*a - (u8)*b;
}

int strncmp(const char* a, const char* b, size_t count) {
  for (; count; --count, ++a, ++b) {
    if (*a != *b || !*a) return (u8)*a - (u8)*b;
  }
  return 0;
}

void zero_memory(void* to, size_t count) {
  size_t words = count / 8, rest = count % 8;
  __asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(0ull) : "memory");
  __asm__ volatile("rep stosb" : "+D"(to), "+c"(rest) : "a"(0ull) : "memory");
}

static u8 arena[DMA_ARENA_BYTES] __attribute__((aligned(4096)));
static size_t arena_used;

void* dma_alloc(size_t bytes) {
  bytes = (bytes + 4095) & ~(size_t)4095;
  if (bytes > DMA_ARENA_BYTES - arena_used) {
    console_printf("FAIL guest: the test asked for more buffers than the arena holds\n");
    machine_exit();
  }
  void* block = arena + arena_used;
  arena_used += bytes;
  zero_memory(block, bytes);
  return block;
}

void dma_release_all(void) {
  arena_used = 0;
}
