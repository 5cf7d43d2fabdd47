// The admin commands (NVM Express 1.4 §5): queues, what the controller and its one namespace are, features.
#include <algorithm>
#include <cstring>

#include "controller.hpp"

namespace nvme {
namespace {

constexpr uint32_t kMostAsyncEvents = 4;

struct Data {
  alignas(8) uint8_t bytes[kPage] = {};

  void put(size_t offset, uint64_t value, size_t width) { std::memcpy(bytes + offset, &value, width); }
  // Padded with spaces, as §1.5 has text.
  void text(size_t offset, size_t width, const std::string& words) {
    std::memset(bytes + offset, ' ', width);
    std::memcpy(bytes + offset, words.data(), std::min(width, words.size()));
  }
};

}  // namespace

std::optional<Status> Controller::admin(const Command& command, Request& request) {
  switch (command.opcode) {
    case kDeleteSq:
      return delete_sq(command.dw10 & 0xffff);
    case kCreateSq:
      return create_sq(command);
    case kDeleteCq:
      return delete_cq(command.dw10 & 0xffff);
    case kCreateCq:
      return create_cq(command);
    case kIdentify:
      return identify(command);
    case kGetLogPage:
      return log_page(command);
    case kSetFeatures:
    case kGetFeatures:
      return features(command, request.result);
    case kAbort:
      request.result = 1;  // nothing was aborted: the disk completes it in time (§5.1)
      return kSuccess;
    case kAsyncEvent:
      // None ever comes; until the controller is stopped the command waits (§5.2).
      if (async_events_ == kMostAsyncEvents) return kTooManyAsyncEvents;
      ++async_events_;
      give_back(request);
      return {};
    default:
      return kInvalidOpcode;
  }
}

// §5.3
Status Controller::create_cq(const Command& command) {
  const uint32_t id = command.dw10 & 0xffff, size = (command.dw10 >> 16) + 1, vector = command.dw11 >> 16;
  if (id == 0 || id >= cqs_.size() || cqs_[id]) return kInvalidQueueId;
  if (size < 2 || size > kMostEntries) return kInvalidQueueSize;
  if (!(command.dw11 & 1)) return kInvalidField;  // CAP.CQR: in one piece
  if (vector >= kVectors) return kInvalidVector;
  if (command.prp1 % kPage) return kInvalidPrpOffset;
  doorbells_.cq_head[id] = 0;
  cqs_[id] = Cq{command.prp1, size, 0, vector, (command.dw11 & 2) != 0, true, nullptr, nullptr};
  return kSuccess;
}

// §5.4
Status Controller::create_sq(const Command& command) {
  const uint32_t id = command.dw10 & 0xffff, size = (command.dw10 >> 16) + 1, cq = command.dw11 >> 16;
  if (id == 0 || id >= sqs_.size() || sqs_[id]) return kInvalidQueueId;
  if (cq == 0 || cq >= cqs_.size() || !cqs_[cq]) return kInvalidCq;
  if (size < 2 || size > kMostEntries) return kInvalidQueueSize;
  if (!(command.dw11 & 1)) return kInvalidField;
  if (command.prp1 % kPage) return kInvalidPrpOffset;
  doorbells_.sq_tail[id] = 0;
  sqs_[id] = Sq{command.prp1, size, 0, static_cast<uint16_t>(cq)};
  return kSuccess;
}

// §5.6: what is in flight is completed first.
Status Controller::delete_sq(uint32_t id) {
  if (id == 0 || id >= sqs_.size() || !sqs_[id]) return kInvalidQueueId;
  disk_.drain();
  sqs_[id].reset();
  return kSuccess;
}

// §5.5
Status Controller::delete_cq(uint32_t id) {
  if (id == 0 || id >= cqs_.size() || !cqs_[id]) return kInvalidQueueId;
  for (const auto& sq : sqs_)
    if (sq && sq->cq == id) return kInvalidQueueDeletion;
  drop(cqs_[id]);
  return kSuccess;
}

Status Controller::answer(const Command& command, const void* data, uint64_t length) {
  std::array<iovec, kMostPages> parts;
  uint32_t n = 0;
  const Status status = translate_prps(memory_, command.prp1, command.prp2, length, parts.data(), n);
  const auto* from = static_cast<const uint8_t*>(data);
  for (uint32_t i = 0; status == kSuccess && i < n; ++i) {
    std::memcpy(parts[i].iov_base, from, parts[i].iov_len);
    from += parts[i].iov_len;
  }
  return status;
}

// §5.15
Status Controller::identify(const Command& command) {
  Data data;
  switch (command.dw10 & 0xff) {
    case 0:  // the namespace, §5.15.2.1
      if (command.nsid != 1) return kInvalidNamespace;
      data.put(0, blocks_, 8);
      data.put(8, blocks_, 8);
      data.put(16, blocks_, 8);
      data.put(99, readonly_ ? 1 : 0, 1);
      data.put(128, uint64_t{kBlockShift} << 16, 4);
      break;
    case 1:  // the controller, §5.15.2.2
      data.put(0, 0x1b36, 2);
      data.put(2, 0x1af4, 2);
      data.text(4, 20, serial_);
      data.text(24, 40, "Nacre NVMe example");
      data.text(64, 8, "0.1");
      data.put(77, kMaxTransferShift, 1);
      data.put(80, 0x00010200, 4);
      data.put(259, kMostAsyncEvents - 1, 1);
      data.put(260, 1 | 1 << 1, 1);  // one firmware slot, not to be written
      data.put(512, 0x66, 1);        // 64 bytes to a command,
      data.put(513, 0x44, 1);        // 16 to a completion
      data.put(516, 1, 4);           // namespaces
      data.put(520, 1 << 3, 2);      // Write Zeroes
      data.put(525, 1, 1);           // a volatile write cache: Flush matters
      break;
    case 2:  // the namespaces beyond the one given, §5.15.2.3
      if (command.nsid >= UINT32_MAX - 1) return kInvalidNamespace;
      if (command.nsid < 1) data.put(0, 1, 4);
      break;
    default:
      return kInvalidField;
  }
  return answer(command, data.bytes, sizeof data.bytes);
}

// §5.14: errors, health and firmware, of which there is little to say.
Status Controller::log_page(const Command& command) {
  const uint32_t page = command.dw10 & 0xff;
  const uint64_t length = (uint64_t{command.dw10 >> 16 & 0xffff} + 1) * 4;
  if (page < 1 || page > 3) return kInvalidLogPage;
  if (length > kPage || command.dw12 || command.dw13) return kInvalidField;
  Data data;
  if (page == 2) {
    data.put(1, 300, 2);  // kelvin
    data.put(3, 100, 1);  // percent of the spare blocks
    data.put(4, 10, 1);   // and how few are too few
  }
  if (page == 3) data.put(0, 1, 1);
  return answer(command, data.bytes, length);
}

// §5.13, §5.21: how many queues, and whether the cache is on, which it is.
Status Controller::features(const Command& command, uint32_t& result) {
  const bool set = command.opcode == kSetFeatures;
  switch (command.dw10 & 0xff) {
    case 6:
      result = 1;
      return set && !(command.dw11 & 1) ? kInvalidField : kSuccess;
    case 7:
      result = (kIoQueues - 1) << 16 | (kIoQueues - 1);
      return kSuccess;
    default:
      return kInvalidField;
  }
}

}  // namespace nvme
