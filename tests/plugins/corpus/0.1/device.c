/* A plugin as it was written against version 0.1 of the contract: a virtio entropy device, and registers with an
 * interrupt, a saved number, a QMP command and a say in the life cycle. FROZEN: see ../README.md. */
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
static const nacre_mmio_v1 *mmio;
static const nacre_irq_v1 *irqs;
static const nacre_state_v1 *states;
static const nacre_qmp_v1 *qmp;
static const nacre_lifecycle_v1 *lifecycle;
static const nacre_log_v1 *logs;

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

/* The registers: offset 0 counts reads and takes what is written, 8 asks for a shutdown, 16 pulses the interrupt. */

enum { COUNTER = 0, ASK = 8, PULSE = 16, LENGTH = 4096, TAG_COUNTER = 1, TAG_NAME = 2 };

typedef struct registers {
  nacre_instance *instance;
  nacre_mmio_region *range;
  nacre_irq *irq;
  uint64_t counter;
} registers;

static uint64_t read_register(void *opaque, uint64_t offset, uint32_t width) {
  registers *self = opaque;
  (void)width;
  return offset == COUNTER ? __atomic_fetch_add(&self->counter, 1, __ATOMIC_RELAXED) : 0;
}

static void write_register(void *opaque, uint64_t offset, uint32_t width, uint64_t value) {
  registers *self = opaque;
  (void)width;
  if (offset == COUNTER) __atomic_store_n(&self->counter, value, __ATOMIC_RELAXED);
  if (offset == ASK && value == 1) lifecycle->request(self->instance, NACRE_REQUEST_SHUTDOWN);
  if (offset == PULSE) irqs->pulse(self->irq);
}

static nacre_status tell_counter(void *opaque, const char *arguments, nacre_qmp_reply *reply, nacre_error *error) {
  registers *self = opaque;
  (void)arguments;
  (void)error;
  return qmp->reply_json(reply, __atomic_load_n(&self->counter, __ATOMIC_RELAXED) ? "{\"zero\":false}" : "{\"zero\":true}");
}

static nacre_status create_registers(nacre_instance *instance, void **self, nacre_error *error) {
  registers *made = calloc(1, sizeof *made);
  if (!made) {
    errors->set(error, "no memory");
    return NACRE_NO_MEMORY;
  }
  made->instance = instance;
  *self = made;
  return NACRE_OK;
}

static void unrealize_registers(void *opaque) {
  registers *self = opaque;
  if (self->range) mmio->release(self->range);
  if (self->irq) irqs->disconnect(self->irq);
  self->range = NULL;
  self->irq = NULL;
}

static nacre_status realize_registers(void *opaque, nacre_error *error) {
  static const nacre_mmio_ops ops = {sizeof ops, 0, read_register, write_register};
  registers *self = opaque;
  uint64_t base = 0, gsi = 0;
  uint8_t loud = 0;
  props->get_u64(self->instance, "addr", &base);
  props->get_u64(self->instance, "gsi", &gsi);
  nacre_status status = irqs->connect(self->instance, (uint32_t)gsi, &self->irq, error);
  if (status == NACRE_OK)
    status = mmio->claim(self->instance, NACRE_SPACE_MMIO, base, LENGTH, 0, &ops, self, &self->range, error);
  if (status == NACRE_OK)
    status = qmp->command(self->instance, "x-corpus-counter", "whether the counter is zero", tell_counter, self, error);
  if (status == NACRE_OK && props->get_bool(self->instance, "loud", &loud) == NACRE_OK && loud)
    logs->write(self->instance, NACRE_LOG_INFO, "realized");
  if (status != NACRE_OK) unrealize_registers(self);
  return status;
}

static void reset_registers(void *opaque) {
  registers *self = opaque;
  __atomic_store_n(&self->counter, 0, __ATOMIC_RELAXED);
}

static nacre_status save_registers(void *opaque, nacre_state_writer *out, nacre_error *error) {
  registers *self = opaque;
  (void)error;
  const nacre_status status = states->put_u64(out, TAG_COUNTER, __atomic_load_n(&self->counter, __ATOMIC_RELAXED));
  return status == NACRE_OK ? states->put_bytes(out, TAG_NAME, "corpus", 6) : status;
}

static nacre_status load_registers(void *opaque, nacre_state_reader *in, nacre_error *error) {
  registers *self = opaque;
  uint64_t counter = 0;
  if (states->get_u64(in, TAG_COUNTER, &counter) != NACRE_OK) {
    errors->set(error, "the saved state has no counter");
    return NACRE_INVALID;
  }
  __atomic_store_n(&self->counter, counter, __ATOMIC_RELAXED);
  return NACRE_OK;
}

static void destroy_registers(void *opaque) { free(opaque); }

/* What the plugin shows. */


static const nacre_device_ops device_ops = {sizeof device_ops, 0, create, realize, unrealize, destroy, NULL, NULL, NULL,
                                            NULL, NULL};
static const nacre_prop device_props[] = {
    {.type = NACRE_PROP_U64, .name = "first", .help = "the first byte", .default_text = "255", .max = 255}};
static const nacre_device_ops registers_ops = {
    sizeof registers_ops, 0,    create_registers, realize_registers, unrealize_registers, destroy_registers,
    reset_registers,      NULL, NULL,             save_registers,    load_registers};
static const nacre_prop registers_props[] = {
    {.type = NACRE_PROP_U64, .name = "addr", .help = "where", .default_text = "0xfd000000"},
    {.type = NACRE_PROP_U64, .name = "gsi", .help = "the interrupt line", .default_text = "12", .max = 23},
    {.type = NACRE_PROP_BOOL, .name = "loud", .help = "writes to the log", .default_text = "on"}};
static const nacre_type registers_type = {.size = sizeof registers_type,
                                          .kind = NACRE_KIND_DEVICE,
                                          .name = "corpus-registers",
                                          .bus = "mmio",
                                          .help = "registers",
                                          .props = registers_props,
                                          .prop_size = sizeof registers_props[0],
                                          .n_props = 3,
                                          .ops = &registers_ops,
                                          .state_version = 1};
static const nacre_type device_type = {.size = sizeof device_type,
                                       .kind = NACRE_KIND_DEVICE,
                                       .name = "corpus-entropy",
                                       .bus = "virtio",
                                       .help = "bytes that count down as a source of entropy",
                                       .props = device_props,
                                       .prop_size = sizeof device_props[0],
                                       .n_props = 1,
                                       .ops = &device_ops};

__attribute__((visibility("default"))) const nacre_plugin *nacre_plugin_entry_v0(const nacre_host_hello *hello);

const nacre_plugin *nacre_plugin_entry_v0(const nacre_host_hello *hello) {
  static const nacre_type *const types[] = {&device_type, &registers_type};
  static const nacre_plugin plugin = {.size = sizeof plugin,
                                      .magic = NACRE_PLUGIN_MAGIC,
                                      .abi_major = NACRE_ABI_MAJOR,
                                      .abi_minor = NACRE_ABI_MINOR,
                                      .n_types = 2,
                                      .id = "org.nacre.corpus",
                                      .version = "0.1",
                                      .types = types};
  /* None is NULL: the note requires them. */
  errors = hello->get_extension(NACRE_EXT_ERROR);
  props = hello->get_extension(NACRE_EXT_PROPS);
  memory = hello->get_extension(NACRE_EXT_MEMORY);
  virtio = hello->get_extension(NACRE_EXT_VIRTIO);
  loops = hello->get_extension(NACRE_EXT_LOOP);
  mmio = hello->get_extension(NACRE_EXT_MMIO);
  irqs = hello->get_extension(NACRE_EXT_IRQ);
  states = hello->get_extension(NACRE_EXT_STATE);
  qmp = hello->get_extension(NACRE_EXT_QMP);
  lifecycle = hello->get_extension(NACRE_EXT_LIFECYCLE);
  logs = hello->get_extension(NACRE_EXT_LOG);
  return &plugin;
}
