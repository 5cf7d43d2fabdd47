/* Reads or writes 4 KiB blocks at random, with O_DIRECT, from several processes: the guest's half of the I/O benchmark.
 *
 * Usage: randio DEVICE read|write DEPTH COUNT. Prints "randio: <microseconds per request> <requests per second>", wall
 * time of all processes together by CLOCK_MONOTONIC. Built static, so that it runs in any guest. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <linux/fs.h>
#include <time.h>
#include <unistd.h>

enum { kBlock = 4096 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int work(const char *device, int writes, unsigned seed, long count) {
  int fd = open(device, (writes ? O_RDWR : O_RDONLY) | O_DIRECT);
  uint64_t bytes = 0;
  void *buffer;
  if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) != 0 || posix_memalign(&buffer, kBlock, kBlock) != 0) {
    perror(device);
    return 1;
  }
  memset(buffer, (int)seed, kBlock);
  uint64_t state = 88172645463325252ull + seed;
  for (long i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    off_t offset = (off_t)(state % (bytes / kBlock)) * kBlock;
    ssize_t done = writes ? pwrite(fd, buffer, kBlock, offset) : pread(fd, buffer, kBlock, offset);
    if (done != kBlock) {
      perror("transfer");
      return 1;
    }
  }
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: randio DEVICE read|write DEPTH COUNT\n");
    return 2;
  }
  int writes = strcmp(argv[2], "write") == 0;
  int depth = atoi(argv[3]);
  long count = atol(argv[4]);
  if (work(argv[1], writes, 99, 50)) return 1; /* warm up */
  double begin = now();
  for (int i = 0; i < depth; i++)
    if (fork() == 0) _exit(work(argv[1], writes, (unsigned)i + 1, count / depth));
  int failed = 0, status;
  while (wait(&status) > 0) failed |= status;
  double elapsed = now() - begin;
  long requests = count / depth * depth;
  if (!failed) printf("randio: %.2f us/request, %.0f requests/s\n", elapsed / (double)requests, (double)requests * 1e6 / elapsed);
  return failed ? 1 : 0;
}
