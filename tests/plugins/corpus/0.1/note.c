/* The note of plugin org.nacre.corpus, as nacre_add_plugin() wrote it for version 0.1; FROZEN: see ../README.md and <nacre/abi/note.h>. */
#include <nacre/abi/entry.h>
#include <nacre/abi/note.h>

#if defined(__x86_64__)
#define NACRE_NOTE_ARCH NACRE_ARCH_X86_64
#elif defined(__aarch64__)
#define NACRE_NOTE_ARCH NACRE_ARCH_AARCH64
#else
#error "plugins are for x86_64 or aarch64"
#endif

enum { JSON_SIZE = 402 };
_Static_assert(JSON_SIZE <= NACRE_NOTE_JSON_MAX, "the note's JSON is too long");

typedef struct plugin_note {
  uint32_t name_size;
  uint32_t desc_size;
  uint32_t type;
  char owner[8]; /* "NACRE", padded to four bytes */
  nacre_note head;
  char json[(JSON_SIZE + 3) & ~3];
} plugin_note;

extern const plugin_note nacre_plugin_note;
__attribute__((section(".note.nacre.plugin"), used, retain, aligned(4), visibility("hidden")))
const plugin_note nacre_plugin_note = {
    sizeof(NACRE_NOTE_OWNER),
    sizeof(nacre_note) + JSON_SIZE,
    NACRE_NOTE_TYPE,
    NACRE_NOTE_OWNER,
    {NACRE_NOTE_VERSION, sizeof(nacre_note), NACRE_ABI_MAJOR, NACRE_ABI_MINOR, NACRE_ABI_MINOR, NACRE_TIER_STABLE,
     NACRE_NOTE_ARCH, NACRE_NOTE_HAS_STATE, JSON_SIZE, {0}},
    "{\"id\":\"org.nacre.corpus\",\"name\":\"a plugin of version 0.1\",\"version\":\"0.1\","
    "\"provides\":[{\"kind\":\"device\",\"name\":\"corpus-entropy\",\"bus\":\"virtio\"},"
    "{\"kind\":\"device\",\"name\":\"corpus-registers\",\"bus\":\"mmio\"}],"
    "\"requires\":[\"nacre.props/1\",\"nacre.error/1\",\"nacre.memory/1\",\"nacre.virtio/1\","
    "\"nacre.loop/1\",\"nacre.mmio/1\",\"nacre.irq/1\",\"nacre.state/1\",\"nacre.qmp/1\","
    "\"nacre.lifecycle/1\",\"nacre.log/1\"],\"optional\":[]}"};
