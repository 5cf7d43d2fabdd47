/* What a machine's RAM is made of, where the user says more about it than its size: the NUMA nodes that its guest is to
 * see. Part of nacre_machine_config, and like it a draft. */
#ifndef NACRE_ABI_RAM_H
#define NACRE_ABI_RAM_H

#include <nacre/abi/base.h>

/* Some of it comes from a file that was there before: it may begin as other than zeroes. */
enum { NACRE_RAM_HAS_CONTENT = 1u << 0 };

typedef struct nacre_ram_node {
  uint32_t id;       /* 0 to 127, the proximity domain of its guest */
  uint32_t reserved;
  uint64_t ram_size; /* bytes, a multiple of 4096 */
} nacre_ram_node;

typedef struct nacre_ram {
  uint32_t size;
  uint32_t flags;             /* NACRE_RAM_* */
  uint32_t n_nodes;           /* 0: nodes are no matter */
  uint32_t node_size;         /* the stride of `nodes` */
  const nacre_ram_node *nodes; /* ascending by id; RAM is theirs in this order, from address 0 up */
  const uint8_t *distances;   /* n_nodes * n_nodes of 10 to 255: from nodes[i] to nodes[j] at [i * n_nodes + j] */
  const uint32_t *cpu_nodes;  /* of each vCPU up to max_vcpus: its place in `nodes` */
} nacre_ram;

#endif
