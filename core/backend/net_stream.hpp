// Frames over a stream socket, each behind its length: 4 bytes, big-endian, as passt and QEMU's stream netdev speak.
#pragma once

#include <nacre/abi/net.h>

#include <cstdint>
#include <memory>

#include "core/base/fd.hpp"

namespace nacre {

// Owns its socket, which does not block. One thread. The frames on the wire have no virtio header; here they have one,
// of zeroes when received.
class NetStream {
 public:
  explicit NetStream(Fd socket);

  int fd() const { return socket_.get(); }

  // As nacre_net_v1.
  int64_t receive(const iovec* iov, uint32_t n_iov);
  int32_t send(const iovec* iov, uint32_t n_iov);

 private:
  bool fill();
  bool flush();

  Fd socket_;
  // What has come and was not taken yet: many frames by one system call.
  std::unique_ptr<uint8_t[]> input_;
  size_t input_begin_ = 0, input_end_ = 0;
  bool ended_ = false;
  // The rest of a frame of which the socket has taken a part.
  std::unique_ptr<uint8_t[]> output_;
  size_t output_begin_ = 0, output_end_ = 0;
};

}  // namespace nacre
