/* Network back ends: where a NIC's frames come from and go to, by name. A plugin never sees a path or an address.
 *
 * A frame travels with a virtio_net_hdr_v1 of 12 bytes in front of it (virtio 1.2 §5.1.6), whatever the back end is: the
 * plugin passes its rings' buffers as they are. One call moves one frame with at most one system call. */
#ifndef NACRE_ABI_NET_H
#define NACRE_ABI_NET_H

#include <sys/uio.h>

#include <nacre/abi/loop.h>

#define NACRE_NET_HEADER 12u   /* bytes in front of each frame */
#define NACRE_NET_QUEUES_MAX 16u
#define NACRE_NET_IOV_MAX 1024u /* entries of one call's iov */

typedef struct nacre_net nacre_net;

/* What may be left undone in a frame, as its header says. */
enum {
  NACRE_NET_CSUM = 1u << 0, /* a checksum that is not complete */
  NACRE_NET_TSO4 = 1u << 1, /* a TCP segment that is not cut up yet, over IPv4 */
  NACRE_NET_TSO6 = 1u << 2,
  NACRE_NET_ECN = 1u << 3   /* such a segment with the congestion bit */
};

typedef struct nacre_net_info {
  uint32_t size;
  uint32_t n_queues;  /* pairs of queues, 1 .. NACRE_NET_QUEUES_MAX */
  uint32_t max_frame; /* the longest frame in bytes, without its header */
  uint32_t takes;     /* NACRE_NET_* that send() takes */
  uint32_t gives;     /* NACRE_NET_* that set_offloads() can turn on */
  uint8_t vhost;      /* the kernel is to walk the rings: vhost_fd() has descriptors, which make receive() and send()
                       * needless */
  uint8_t reserved[3];
} nacre_net_info;

#define NACRE_EXT_NET "nacre.backend.net/1"
typedef struct nacre_net_v1 {
  uint32_t size;
  uint32_t reserved;
  /* [main] Takes the back end `id` for this instance. NACRE_NOT_FOUND, NACRE_BUSY. */
  nacre_status (*open)(nacre_instance *instance, const char *id, nacre_net **net, nacre_error *error) NACRE_NOEXCEPT;
  /* [main] Gives it back. Nothing watches its descriptors any more. */
  void (*close)(nacre_net *net) NACRE_NOEXCEPT;
  /* [main, loop] */
  void (*info)(nacre_net *net, nacre_net_info *info) NACRE_NOEXCEPT;
  /* [loop, main before activation] What to watch for this queue, with NACRE_LOOP_EDGE: readable when there is a frame,
   * writable when a frame that send() has not taken can be offered again. Several queues may have the same. */
  int32_t (*fd)(nacre_net *net, uint32_t queue) NACRE_NOEXCEPT;
  /* [loop] Puts the next frame, with its header, into `iov`. Returns the number of bytes of both; what does not fit is
   * lost. 0: there is none now. NACRE_IO: there will never be one again. The number of buffers in the header (§5.1.6.4)
   * is the caller's to fill in. */
  int64_t (*receive)(nacre_net *net, uint32_t queue, const struct iovec *iov, uint32_t n_iov) NACRE_NOEXCEPT;
  /* [loop] Sends the frame, with its header, that is in `iov`. Returns 1 when it is taken, 0 when there is no room now,
   * NACRE_INVALID when it is no frame and is dropped, NACRE_IO when it is dropped for another reason. */
  int32_t (*send)(nacre_net *net, uint32_t queue, const struct iovec *iov, uint32_t n_iov) NACRE_NOEXCEPT;
  /* [loop] What frames from receive() may leave undone from now on, NACRE_NET_* bits out of `gives`. */
  nacre_status (*set_offloads)(nacre_net *net, uint32_t offloads) NACRE_NOEXCEPT;
  /* [loop] Frames come and go over the first `n` pairs of queues only. */
  nacre_status (*set_queues)(nacre_net *net, uint32_t n) NACRE_NOEXCEPT;
  /* [main, loop] The vhost descriptor of this pair: its ring 0 receives, ring 1 sends, and its back end is fd(). The host
   * owns it. -1: the rings are the plugin's to walk. */
  int32_t (*vhost_fd)(nacre_net *net, uint32_t queue) NACRE_NOEXCEPT;
  /* [main] `announce(opaque)` is called on the device's loop when the NIC is to make itself known on its network again,
   * as a guest that has been moved does, until close(); NULL: not any more. send() may be used for it whatever `vhost`
   * is. */
  void (*on_announce)(nacre_net *net, nacre_callback announce, void *opaque) NACRE_NOEXCEPT;
} nacre_net_v1;

#endif
