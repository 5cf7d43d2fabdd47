/* Properties: one table per driver says all there is to say about its settings. The host parses and checks the values;
 * `-device NAME,help`, introspection over QMP and validation come from the same table. */
#ifndef NACRE_ABI_PROPS_H
#define NACRE_ABI_PROPS_H

#include <nacre/abi/base.h>

enum {
  NACRE_PROP_BOOL = 1,   /* on/off */
  NACRE_PROP_U64 = 2,    /* decimal or 0x hexadecimal, min..max */
  NACRE_PROP_SIZE = 3,   /* bytes; suffixes K, M, G */
  NACRE_PROP_STRING = 4, /* min bytes or more, at most `max` when max is not 0; matches `pattern` when there is one */
  NACRE_PROP_ENUM = 5,   /* one of `values` */
  NACRE_PROP_NODE = 6,   /* the id of something of kind `node_kind`: "block", "chardev", "net", "iothread" */
  NACRE_PROP_MAC = 7,
  NACRE_PROP_PCI_ADDR = 8,
  NACRE_PROP_FD = 9 /* a descriptor that this process was started with, by its number, or that QMP getfd has passed, by
                     * its name; get_u64() gives it, and the plugin takes it over */
};

enum {
  NACRE_PROP_REQUIRED = 1u << 16, /* of a back end: but for a device that waits for one in a replaceable slot, see
                                   * machine.h; realize() must do without it, then */
  NACRE_PROP_SECRET = 1u << 17,
  NACRE_PROP_DEPRECATED = 1u << 18,
  NACRE_PROP_POWER_OF_TWO = 1u << 19,
  NACRE_PROP_PER_VCPU = 1u << 20 /* a number whose default on PCI, where each queue has an interrupt, is that of the vCPUs
                                  * at the start, as far as min and max allow; elsewhere it is default_text */
};

typedef struct nacre_prop {
  uint32_t type;             /* NACRE_PROP_* */
  uint32_t flags;
  const char *name;          /* with hyphens; the host takes underscores for them */
  const char *help;          /* one line */
  const char *default_text;  /* as a user would write it; NULL: unset */
  uint64_t min;
  uint64_t max;              /* 0: no limit */
  const char *const *values; /* ends with NULL */
  const char *pattern;       /* POSIX extended regular expression for the whole value, or NULL */
  const char *node_kind;
  const char *replacement;   /* deprecated: what to use instead */
} nacre_prop;

#define NACRE_EXT_PROPS "nacre.props/1"
typedef struct nacre_props_v1 {
  uint32_t size;
  uint32_t reserved;
  /* All [any]. Return NACRE_NOT_FOUND when the property is unset and has no default, NACRE_INVALID when its type is
   * another. Strings (also enumerations, nodes and addresses) live as long as the instance. The string "id" is there for
   * every instance: the user's, or one made by the host. */
  nacre_status (*get_bool)(nacre_instance *instance, const char *name, uint8_t *value) NACRE_NOEXCEPT;
  nacre_status (*get_u64)(nacre_instance *instance, const char *name, uint64_t *value) NACRE_NOEXCEPT;
  nacre_status (*get_string)(nacre_instance *instance, const char *name, const char **value) NACRE_NOEXCEPT;
} nacre_props_v1;

#endif
