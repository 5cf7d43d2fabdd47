/* The ELF note that describes a plugin before it is loaded.
 *
 * Section `.note.nacre.plugin`, owner "NACRE", type NACRE_NOTE_TYPE; the descriptor is the structure below, in little
 * endian, followed by `json_size` bytes of UTF-8 JSON (at most NACRE_NOTE_JSON_MAX):
 *   {"id", "name", "version", "vendor", "license", "homepage", "support",
 *    "provides": [{"kind": "device"|"machine"|"block"|"net"|"chardev", "name", "aliases": [..], "bus"}],
 *    "requires": [extension ids], "optional": [extension ids],
 *    "sandbox": {"system-calls": [names]}}
 * "system-calls" are those that its code makes beyond what the host's sandbox allows every plugin: the host lets its main
 * thread, iothreads, vCPUs' threads and the plugin's own make them. A host that does not know them goes without.
 * The host reads it from the file with every offset checked, so nothing of the plugin runs before it is accepted.
 */
#ifndef NACRE_ABI_NOTE_H
#define NACRE_ABI_NOTE_H

#include <nacre/abi/base.h>

#define NACRE_NOTE_OWNER "NACRE"
#define NACRE_NOTE_TYPE 0x4e435245u
#define NACRE_NOTE_VERSION 1u
#define NACRE_NOTE_JSON_MAX 16384u

enum { NACRE_TIER_STABLE = 0, NACRE_TIER_LOCKED = 1 };
enum { NACRE_ARCH_X86_64 = 1, NACRE_ARCH_AARCH64 = 2 };
enum {
  NACRE_NOTE_NEEDS_KVM_FD = 1u << 0,
  /* hints: a host that does not know them does without */
  NACRE_NOTE_WANTS_THREAD = 1u << 16,
  NACRE_NOTE_CAN_ISOLATE = 1u << 17,
  NACRE_NOTE_HAS_STATE = 1u << 18
};

typedef struct nacre_note {
  uint16_t note_version;
  uint16_t header_size;      /* offset of the JSON: sizeof(nacre_note) of the writer */
  uint16_t abi_major;        /* the contract it was compiled with */
  uint16_t abi_minor_built;
  uint16_t abi_minor_needed; /* the lowest minor of the host that it runs on */
  uint8_t tier;
  uint8_t arch;
  uint32_t flags;
  uint32_t json_size;
  uint8_t host_build_id[20]; /* tier locked: the one build of the host that it belongs to */
} nacre_note;

#endif
