/* A virtio entropy device (virtio 1.2 §5.4) in C11, against the binary contract alone: its bytes count down. Shows what the
 * C++ layer does for others: entry, life cycle, and the device's side of a split virtqueue (§2.7). */
#include <nacre/abi/registry.h>
#include <stdlib.h>

enum { DEVICE_ID = 4, QUEUE_SIZE = 64, MOST_BYTES = 256 };
enum { DESC_WRITE = 2, DESC_INDIRECT = 4, AVAIL_NO_INTERRUPT = 1 };

typedef struct device {
  nacre_instance *instance;
  nacre_virtio *virtio;
  nacre_watch *kick;
  nacre_timer *later;
  const nacre_memory_view *memory; /* NULL while the driver is not ready */
  nacre_virtqueue queue;
  const uint64_t *desc;
  const uint16_t *avail; /* flags, index, ring */
  uint16_t *used;        /* flags, index, ring */
  uint16_t next_avail, next_used;
  uint8_t byte;
} device;

static const nacre_error_v1 *errors;
static const nacre_props_v1 *props;
static const nacre_memory_v1 *memory;
static const nacre_virtio_v1 *virtio;
static const nacre_loop_v1 *loops;

/* Returns where [gpa, gpa + length) is, or NULL when it is not wholly inside one mapped region. */
static uint8_t *translate(const nacre_memory_view *view, uint64_t gpa, uint64_t length) {
  const uint8_t *at = (const uint8_t *)view->regions;
  for (uint32_t i = 0; i < view->n_regions; ++i, at += view->region_size) {
    const nacre_memory_region *region = (const nacre_memory_region *)at;
    const uint64_t offset = gpa - region->gpa;
    if (gpa >= region->gpa && offset < region->len)
      return region->hva && length && length <= region->len - offset ? region->hva + offset : NULL;
  }
  return NULL;
}

/* The driver has done what it must not. Only a reset helps. */
static void give_up(device *self, const char *why) {
  loops->unwatch(self->kick);
  self->kick = NULL;
  virtio->needs_reset(self->virtio, why);
}

/* Answers the request at the head of the ring. Everything in guest memory is read once, and checked as it was read.
 * Returns 0 when the driver has broken the rules. */
static int answer_one(device *self) {
  const uint16_t mask = (uint16_t)(self->queue.num - 1);
  const uint16_t head = __atomic_load_n(&self->avail[2 + (self->next_avail & mask)], __ATOMIC_RELAXED);
  if (head >= self->queue.num) return give_up(self, "the available ring names no descriptor"), 0;
  const uint64_t address = __atomic_load_n(&self->desc[2 * head], __ATOMIC_RELAXED);
  const uint64_t rest = __atomic_load_n(&self->desc[2 * head + 1], __ATOMIC_RELAXED);
  const uint16_t flags = (uint16_t)(rest >> 32);
  uint32_t length = (uint32_t)rest;
  if (!(flags & DESC_WRITE) || (flags & DESC_INDIRECT)) return give_up(self, "a request without room for an answer"), 0;
  if (length > MOST_BYTES) length = MOST_BYTES; /* fewer than asked for will do: §5.4.6 */
  uint8_t *buffer = translate(self->memory, address, length);
  if (!buffer) return give_up(self, "a buffer outside memory"), 0;
  for (uint32_t i = 0; i < length; ++i) buffer[i] = self->byte--;

  uint32_t *entry = (uint32_t *)(void *)(self->used + 2) + 2 * (self->next_used & mask);
  __atomic_store_n(&entry[0], head, __ATOMIC_RELAXED);
  __atomic_store_n(&entry[1], length, __ATOMIC_RELAXED);
  ++self->next_avail;
  ++self->next_used;
  return 1;
}

/* [loop] Answers at most a ring full of requests, with one interrupt; the timer brings it back for more. */
static void work(void *opaque) {
  device *self = opaque;
  const uint16_t before = self->next_used;
  uint32_t left = self->queue.num;
  while (left > 0) {
    const uint16_t waiting =
        (uint16_t)(__atomic_load_n(&self->avail[1], __ATOMIC_ACQUIRE) - self->next_avail);
    if (waiting == 0) break;
    if (waiting > self->queue.num) {
      give_up(self, "the available index runs ahead of the ring");
      return;
    }
    if (!answer_one(self)) return;
    --left;
  }
  if (self->next_used != before) {
    __atomic_store_n(&self->used[1], self->next_used, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!(__atomic_load_n(&self->avail[0], __ATOMIC_RELAXED) & AVAIL_NO_INTERRUPT))
      self->queue.interrupt(self->queue.interrupt_opaque);
  }
  if (left == 0) loops->timer_arm(self->later, 1);
}

/* [loop] */
static void forget_queue(void *opaque) {
  device *self = opaque;
  if (self->kick) loops->unwatch(self->kick);
  if (self->later) loops->timer_destroy(self->later);
  if (self->memory) memory->release(self->instance, self->memory);
  self->kick = NULL;
  self->later = NULL;
  self->memory = NULL;
}

/* [loop] */
static nacre_status activate(void *opaque, const nacre_virtio_activation *activation, nacre_error *error) {
  device *self = opaque;
  if (!activation->queues[0].ready) return NACRE_OK;
  self->queue = activation->queues[0];
  self->next_avail = self->next_used = self->queue.first;
  self->memory = memory->acquire(self->instance);
  const uint64_t num = self->queue.num;
  self->desc = (const uint64_t *)(void *)translate(self->memory, self->queue.desc, 16 * num);
  self->avail = (const uint16_t *)(void *)translate(self->memory, self->queue.avail, 6 + 2 * num);
  self->used = (uint16_t *)(void *)translate(self->memory, self->queue.used, 6 + 8 * num);
  nacre_status status = NACRE_INVALID;
  if (self->desc && self->avail && self->used) {
    nacre_loop *loop = loops->of(self->instance);
    status = loops->timer(loop, work, self, &self->later, error);
    if (status == NACRE_OK)
      status = loops->watch(loop, self->queue.kick_fd, NACRE_LOOP_READ | NACRE_LOOP_EDGE, work, self, &self->kick, error);
  } else {
    errors->set(error, "the queue is not in memory");
  }
  if (status != NACRE_OK) forget_queue(self);
  return status;
}

/* [main] The life of a device. */

static nacre_status create(nacre_instance *instance, void **self, nacre_error *error) {
  device *made = calloc(1, sizeof *made);
  if (!made) {
    errors->set(error, "no memory");
    return NACRE_NO_MEMORY;
  }
  made->instance = instance;
  *self = made;
  return NACRE_OK;
}

static nacre_status realize(void *opaque, nacre_error *error) {
  static const nacre_virtio_ops ops = {sizeof ops, 0, activate, forget_queue, NULL};
  static const uint16_t queue_size = QUEUE_SIZE;
  const nacre_virtio_desc desc = {sizeof desc, DEVICE_ID, 0, &queue_size, 1, 0, NULL, &ops};
  device *self = opaque;
  uint64_t first = 0;
  if (props->get_u64(self->instance, "first", &first) == NACRE_OK) self->byte = (uint8_t)first;
  return virtio->attach(self->instance, &desc, self, &self->virtio, error);
}

static void unrealize(void *opaque) {
  device *self = opaque;
  if (self->virtio) virtio->detach(self->virtio);
  self->virtio = NULL;
}

static void destroy(void *opaque) {
  forget_queue(opaque);
  free(opaque);
}

/* What the plugin shows. */

static const nacre_device_ops device_ops = {sizeof device_ops, 0, create, realize, unrealize, destroy, NULL, NULL, NULL,
                                            NULL, NULL};
static const nacre_prop device_props[] = {
    {.type = NACRE_PROP_U64, .name = "first", .help = "the first byte", .default_text = "255", .max = 255}};
static const nacre_type device_type = {.size = sizeof device_type,
                                       .kind = NACRE_KIND_DEVICE,
                                       .name = "c-entropy",
                                       .bus = "virtio",
                                       .help = "bytes that count down as a source of entropy, in C",
                                       .props = device_props,
                                       .prop_size = sizeof device_props[0],
                                       .n_props = 1,
                                       .ops = &device_ops};

__attribute__((visibility("default"))) const nacre_plugin *nacre_plugin_entry_v0(const nacre_host_hello *hello);

const nacre_plugin *nacre_plugin_entry_v0(const nacre_host_hello *hello) {
  static const nacre_type *const types[] = {&device_type};
  static const nacre_plugin plugin = {.size = sizeof plugin,
                                      .magic = NACRE_PLUGIN_MAGIC,
                                      .abi_major = NACRE_ABI_MAJOR,
                                      .abi_minor = NACRE_ABI_MINOR,
                                      .n_types = 1,
                                      .id = NACRE_PLUGIN_ID,
                                      .version = NACRE_PLUGIN_VERSION,
                                      .types = types};
  /* None is NULL: the note requires them. */
  errors = hello->get_extension(NACRE_EXT_ERROR);
  props = hello->get_extension(NACRE_EXT_PROPS);
  memory = hello->get_extension(NACRE_EXT_MEMORY);
  virtio = hello->get_extension(NACRE_EXT_VIRTIO);
  loops = hello->get_extension(NACRE_EXT_LOOP);
  return &plugin;
}
