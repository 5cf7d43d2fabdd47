/* A plugin's own networks: what a type of kind NACRE_KIND_NET does. The functions are those by which a NIC uses a network
 * (net.h), with the plugin's object for the host's handle, so that a NIC cannot tell whose network it has. nacre.loop/1
 * gives the loop of the NIC that has it, from open() to close(). */
#ifndef NACRE_ABI_NET_DRIVER_H
#define NACRE_ABI_NET_DRIVER_H

#include <nacre/abi/net.h>

typedef struct nacre_net_driver_ops {
  uint32_t size;
  uint32_t flags;
  /* [main] Makes the network that the instance's properties describe. */
  nacre_status (*create)(nacre_instance *host, void **self, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Ends it. No NIC has it. */
  void (*destroy)(void *self) NACRE_NOEXCEPT;
  /* [loop] A NIC takes it: the descriptors of fd() are there from now on, until close(). Frames of before are gone. */
  nacre_status (*open)(void *self, nacre_error *error) NACRE_NOEXCEPT;
  /* [loop] It gives the network back; nothing watches the descriptors any more. */
  void (*close)(void *self) NACRE_NOEXCEPT;
  /* [main, loop] Always the same. There is no vhost for it. */
  void (*info)(void *self, nacre_net_info *info) NACRE_NOEXCEPT;
  /* [loop, main] What the NIC watches for this pair of queues, see nacre_net_v1: an eventfd will do. */
  int32_t (*fd)(void *self, uint32_t queue) NACRE_NOEXCEPT;
  /* [loop] Frames to and from the guest, as nacre_net_v1 has them. */
  int64_t (*receive)(void *self, uint32_t queue, const struct iovec *iov, uint32_t n_iov) NACRE_NOEXCEPT;
  int32_t (*send)(void *self, uint32_t queue, const struct iovec *iov, uint32_t n_iov) NACRE_NOEXCEPT;
  /* [loop] What received frames may leave undone, out of the `gives` of info(). NULL where that is nothing. */
  nacre_status (*set_offloads)(void *self, uint32_t offloads) NACRE_NOEXCEPT;
  /* [loop] The first `n` pairs of queues are in use. NULL where there is one pair. */
  nacre_status (*set_queues)(void *self, uint32_t n) NACRE_NOEXCEPT;
} nacre_net_driver_ops;

#endif
