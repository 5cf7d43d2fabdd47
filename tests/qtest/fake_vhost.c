/* /dev/vhost-vsock for hosts that have none, by the names of open() and ioctl(): its requests, and the walk through the
 * rings. A packet that the guest transmits comes back to it with source and destination exchanged. A ring that the
 * driver has broken is told of by its error descriptor. Who has it decides when it walks (fake_vhost.h). */
#include "fake_vhost.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { kRings = 2, kReceive = 0, kTransmit = 1, kNext = 1, kWrite = 2, kIndirect = 4, kHeader = 44, kMostBytes = 4096 };
enum { kIndirectDesc = 28, kEventIdx = 29 };

struct Descriptor {
  uint64_t addr;
  uint32_t len;
  uint16_t flags, next;
};
struct Ring {
  uint32_t size, seen;
  int has_signalled; /* since it began */
  struct vhost_vring_addr where;
  int kick, call, error;
};

static int g_device = -1;
static uint64_t g_features; /* that were negotiated */
static struct vhost_memory *g_memory;
static struct Ring g_rings[kRings];
static int g_running, g_refused;

static uint8_t *at(uint64_t gpa, uint64_t length) {
  for (uint32_t i = 0; g_memory && i < g_memory->nregions; ++i) {
    const struct vhost_memory_region *r = &g_memory->regions[i];
    if (gpa >= r->guest_phys_addr && length <= r->memory_size && gpa - r->guest_phys_addr <= r->memory_size - length)
      return (uint8_t *)(uintptr_t)(r->userspace_addr + (gpa - r->guest_phys_addr));
  }
  return NULL;
}

/* The next request's head, or -1. */
static int take(struct Ring *ring) {
  const volatile uint16_t *avail = (void *)(uintptr_t)ring->where.avail_user_addr;
  if ((uint16_t)ring->seen == __atomic_load_n(&avail[1], __ATOMIC_ACQUIRE)) return -1;
  return avail[2 + ring->seen % ring->size];
}
static volatile uint16_t *used_of(const struct Ring *ring) { return (void *)(uintptr_t)ring->where.used_user_addr; }
/* virtio 1.2 2.7.7.2, but that the first one always comes, as from the kernel. */
static int is_wanted(struct Ring *ring, uint16_t index) {
  const volatile uint16_t *avail = (void *)(uintptr_t)ring->where.avail_user_addr;
  if (!(g_features >> kEventIdx & 1)) return !(avail[0] & 1);
  if (ring->has_signalled) return avail[2 + ring->size] == (uint16_t)(index - 1);
  return ring->has_signalled = 1;
}
static void use(struct Ring *ring, uint32_t head, uint32_t length) {
  volatile uint16_t *used = used_of(ring);
  uint32_t element[2] = {head, length};
  memcpy((uint8_t *)used + 4 + 8 * (used[1] % ring->size), element, sizeof element);
  ++ring->seen;
  const uint16_t index = (uint16_t)(used[1] + 1);
  __atomic_store_n(&used[1], index, __ATOMIC_SEQ_CST);
  if (is_wanted(ring, index) && ring->call >= 0) eventfd_write(ring->call, 1);
}
/* Moves bytes between a buffer and the parts of a chain that are for that; -1 for a chain that is wrong. */
static long move(const struct Ring *ring, uint32_t head, uint8_t *bytes, size_t most, int into_guest) {
  const uint8_t *table = (uint8_t *)(uintptr_t)ring->where.desc_user_addr;
  uint32_t entries = ring->size;
  size_t moved = 0;
  for (uint32_t steps = 0; steps <= ring->size && head < entries; ++steps) {
    struct Descriptor one;
    memcpy(&one, table + 16 * head, sizeof one);
    uint8_t *memory = at(one.addr, one.len);
    if (!memory) return -1;
    if (one.flags & kIndirect && g_features >> kIndirectDesc & 1) {
      table = memory;
      entries = one.len / 16;
      head = 0;
      continue;
    }
    const int for_device = (one.flags & kWrite) != 0;
    if (for_device != into_guest) return -1;
    const size_t part = one.len < most - moved ? one.len : most - moved;
    if (into_guest) memcpy(memory, bytes + moved, part);
    else memcpy(bytes + moved, memory, part);
    moved += part;
    if (!(one.flags & kNext)) return (long)moved;
    head = one.next;
  }
  return -1;
}

/* Asks for a kick at the next request. */
static void ask(struct Ring *ring) {
  if (ring->where.used_user_addr && g_features >> kEventIdx & 1)
    __atomic_store_n(&used_of(ring)[2 + 4 * ring->size], (uint16_t)ring->seen, __ATOMIC_SEQ_CST);
}

static void broken(const struct Ring *ring) {
  if (ring->error >= 0) eventfd_write(ring->error, 1);
}

static void walk(void) {
  struct Ring *from = &g_rings[kTransmit], *to = &g_rings[kReceive];
  for (int head; (head = take(from)) >= 0;) {
    const int room = take(to);
    if (room < 0) return; /* until the guest has room */
    uint8_t packet[kMostBytes], ends[16];
    const long length = move(from, (uint32_t)head, packet, sizeof packet, 0);
    if (length < kHeader) {
      broken(from);
      return;
    }
    memcpy(ends, packet, 8);
    memmove(packet, packet + 8, 8);
    memcpy(packet + 8, ends, 8);
    const long written = move(to, (uint32_t)room, packet, (size_t)length, 1);
    if (written < 0) {
      broken(to);
      return;
    }
    use(from, (uint32_t)head, 0);
    use(to, (uint32_t)room, (uint32_t)written);
  }
}

void fake_vhost_walk(void) {
  if (!g_running) return;
  walk();
  for (int i = 0; i < kRings; ++i) ask(&g_rings[i]);
  walk(); /* what came before it was asked for */
}

void fake_vhost_refuse(int n) {
  g_refused = n;
}

static int refuse(int why) {
  errno = why;
  return -1;
}

static void set_fd(int *to, int fd) {
  if (*to > 0) close(*to);
  *to = fd >= 0 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
}

static void run(int on) {
  if (on == g_running) return;
  if (!on) fake_vhost_runs(0, g_rings[kReceive].kick, g_rings[kTransmit].kick);
  g_running = on;
  if (on) fake_vhost_runs(1, g_rings[kReceive].kick, g_rings[kTransmit].kick);
}

/* As the kernel does when the last descriptor of it has been closed. */
static void begin_anew(void) {
  run(0);
  for (int i = 0; i < kRings; ++i) {
    set_fd(&g_rings[i].kick, -1);
    set_fd(&g_rings[i].call, -1);
    set_fd(&g_rings[i].error, -1);
  }
  free(g_memory);
  g_memory = NULL;
  g_refused = 0;
}

static int answer(unsigned long request, void *argument) {
  const uint32_t index = argument ? *(uint32_t *)argument : 0;
  struct Ring *ring = &g_rings[index < kRings ? index : 0];
  struct vhost_vring_state *state = argument;
  struct vhost_vring_file *file = argument;
  const int halts = request == VHOST_VSOCK_SET_RUNNING && *(int *)argument == 0; /* which cannot fail */
  if (!halts && g_refused && --g_refused == 0) return refuse(ENOMEM);
  switch (request) {
    case VHOST_GET_FEATURES:
      *(uint64_t *)argument = 1ull << 1 | 1ull << kIndirectDesc | 1ull << kEventIdx | 1ull << 32;
      return 0;
    case VHOST_SET_FEATURES:
      g_features = *(uint64_t *)argument;
      return 0;
    case VHOST_SET_OWNER:
      return 0;
    case VHOST_VSOCK_SET_GUEST_CID:
      return *(uint64_t *)argument == 77 ? refuse(EADDRINUSE) : 0;
    case VHOST_SET_MEM_TABLE: {
      const struct vhost_memory *given = argument;
      const size_t bytes = sizeof *given + given->nregions * sizeof given->regions[0];
      free(g_memory);
      g_memory = malloc(bytes);
      memcpy(g_memory, given, bytes);
      return 0;
    }
    case VHOST_VSOCK_SET_RUNNING:
      run(*(int *)argument);
      return 0;
  }
  if (index >= kRings) return refuse(ENOBUFS);
  switch (request) {
    case VHOST_SET_VRING_NUM:
      ring->size = state->num;
      return state->num && !(state->num & (state->num - 1)) ? 0 : refuse(EINVAL);
    case VHOST_SET_VRING_BASE:
      ring->seen = state->num;
      ring->has_signalled = 0;
      return 0;
    case VHOST_GET_VRING_BASE:
      state->num = ring->seen & 0xffff;
      return 0;
    case VHOST_SET_VRING_ADDR:
      ring->where = *(struct vhost_vring_addr *)argument;
      return 0;
    case VHOST_SET_VRING_KICK:
      set_fd(&ring->kick, file->fd);
      return 0;
    case VHOST_SET_VRING_CALL:
      set_fd(&ring->call, file->fd);
      return 0;
    case VHOST_SET_VRING_ERR:
      set_fd(&ring->error, file->fd);
      return 0;
  }
  return refuse(ENOTTY);
}

int ioctl(int fd, unsigned long request, ...) {
  static int (*real)(int, unsigned long, void *);
  va_list more;
  va_start(more, request);
  void *argument = va_arg(more, void *);
  va_end(more);
  if (g_device >= 0 && fd == g_device) return answer(request, argument);
  if (!real) *(void **)&real = dlsym(RTLD_NEXT, "ioctl");
  return real(fd, request, argument);
}

static int open_any(const char *name, const char *path, int flags, unsigned mode) {
  if (strcmp(path, "/dev/vhost-vsock") == 0) {
    begin_anew();
    return g_device = eventfd(0, EFD_CLOEXEC);
  }
  int (*real)(const char *, int, unsigned);
  *(void **)&real = dlsym(RTLD_NEXT, name);
  return real(path, flags, mode);
}
#define OPEN(name)                                 \
  int name(const char *path, int flags, ...) {     \
    va_list more;                                  \
    va_start(more, flags);                         \
    const unsigned mode = va_arg(more, unsigned);  \
    va_end(more);                                  \
    return open_any(#name, path, flags, mode);     \
  }
OPEN(open)
OPEN(open64)
