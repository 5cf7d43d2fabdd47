/* How host and plugin meet: the one symbol that a plugin exports, and what each side shows the other. */
#ifndef NACRE_ABI_ENTRY_H
#define NACRE_ABI_ENTRY_H

#include <nacre/abi/props.h>
#include <nacre/abi/state.h>

#define NACRE_PLUGIN_MAGIC 0x4e435245u
/* The major version is part of the name, so that two majors fail in words, not by a crash. */
#define NACRE_ENTRY_SYMBOL "nacre_plugin_entry_v0"

/* What the host shows. Valid for the life of the process. */
typedef struct nacre_host_hello {
  uint32_t size;
  uint16_t abi_major;
  uint16_t abi_minor;
  const char *host_name;
  const char *host_version;
  uint8_t build_id[20];
  uint32_t flags;
  /* [any] Returns the table of a host service by its id ("nacre.log/1"), or NULL when this host has none of that id. */
  const void *(*get_extension)(const char *id) NACRE_NOEXCEPT;
} nacre_host_hello;

enum {
  NACRE_KIND_DEVICE = 1,
  NACRE_KIND_MACHINE = 2,
  NACRE_KIND_BLOCK = 3,  /* what stands behind devices: block_driver.h, net_driver.h, chardev_driver.h */
  NACRE_KIND_NET = 4,
  NACRE_KIND_CHARDEV = 5
};

/* Type flags. */
enum { NACRE_TYPE_HOTPLUGGABLE = 1u << 16 };

/* One driver, machine type or back end that a plugin offers. */
typedef struct nacre_type {
  uint32_t size;
  uint32_t kind;               /* NACRE_KIND_* */
  const char *name;            /* as in `-device NAME`, `-machine NAME`, `-drive driver=NAME`, `-netdev NAME` */
  const char *const *aliases;  /* ends with NULL; may be NULL */
  const char *bus;             /* "virtio", "isa", "mmio", "pci"; NULL for all but devices */
  const char *help;            /* one line */
  const nacre_prop *props;     /* the properties, beside those that the host gives every device ("id", ...) */
  uint32_t prop_size;          /* sizeof(nacre_prop) of the plugin: the stride of `props` */
  uint32_t n_props;
  const void *ops;             /* nacre_device_ops, nacre_machine_ops, nacre_block_driver_ops, nacre_net_driver_ops or
                                * nacre_chardev_driver_ops, by kind */
  uint32_t flags;
  uint32_t state_version;      /* of what save() writes; 0: the type has no state */
} nacre_type;

typedef struct nacre_plugin {
  uint32_t size;
  uint32_t magic;
  uint16_t abi_major;
  uint16_t abi_minor;
  uint32_t n_types;
  const char *id;              /* equals the note's */
  const char *version;         /* equals the note's */
  const nacre_type *const *types;
  /* [main] Called once before the first instance; again only after fini(). NULL when there is nothing to do. */
  nacre_status (*init)(nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Called when no instance is left. May be NULL. The code stays mapped. */
  void (*fini)(void) NACRE_NOEXCEPT;
  /* [any] Optional services of the plugin by id, or NULL. May be NULL. */
  const void *(*get_extension)(const char *id) NACRE_NOEXCEPT;
} nacre_plugin;

/* [main] The type of NACRE_ENTRY_SYMBOL. Returns a structure that lives as long as the process, or NULL when the plugin
 * cannot work with this host. Takes no resources: init() does. */
typedef const nacre_plugin *(*nacre_plugin_entry)(const nacre_host_hello *hello) NACRE_NOEXCEPT;

/* The life of a device: create -> realize -> [bound to its bus, active, quiesced, ...] -> unrealize -> destroy. */
typedef struct nacre_device_ops {
  uint32_t size;
  uint32_t flags;
  /* [main] Makes an instance. Its properties can be read from now on. */
  nacre_status (*create)(nacre_instance *host, void **self, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Takes what the device needs (back ends, ranges, interrupts). May open files; must not touch guest memory.
   * On failure everything taken is given back and destroy() follows. */
  nacre_status (*realize)(void *self, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Gives back what realize() took. No callback of the host comes after it. */
  void (*unrealize)(void *self) NACRE_NOEXCEPT;
  /* [main] Ends the instance. */
  void (*destroy)(void *self) NACRE_NOEXCEPT;
  /* [loop] Puts a device that is not on a virtio bus into its state after power-on. May be NULL. */
  void (*reset)(void *self) NACRE_NOEXCEPT;
  /* [loop] Stops taking new work, then calls done(opaque) on any thread once none is in flight; resume() ends it.
   * Both may be NULL for a device that works only while a vCPU is inside one of its calls. */
  void (*quiesce)(void *self, nacre_callback done, void *opaque) NACRE_NOEXCEPT;
  void (*resume)(void *self) NACRE_NOEXCEPT;
  /* [loop, quiesced] Writes and reads the state, see state.h. NULL when the type has none. */
  nacre_status (*save)(void *self, nacre_state_writer *out, nacre_error *error) NACRE_NOEXCEPT;
  nacre_status (*load)(void *self, nacre_state_reader *in, nacre_error *error) NACRE_NOEXCEPT;
} nacre_device_ops;

#endif
