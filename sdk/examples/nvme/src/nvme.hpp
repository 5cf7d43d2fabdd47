// Numbers and layouts of NVM Express, base specification 1.4.
#pragma once

#include <cstdint>

namespace nvme {

// Controller registers, §3.1, in BAR 0.
enum Register : uint32_t {
  kCap = 0x00,
  kVs = 0x08,
  kIntms = 0x0c,
  kIntmc = 0x10,
  kCc = 0x14,
  kCsts = 0x1c,
  kAqa = 0x24,
  kAsq = 0x28,
  kAcq = 0x30,
  kDoorbells = 0x1000,
};

// CC §3.1.5 and CSTS §3.1.6.
constexpr uint32_t kEnable = 1;
constexpr uint32_t kModes = 0x3ff0;  // command set, page size, arbitration: this one knows 0 alone
constexpr uint32_t kShutdown = 3 << 14;
constexpr uint32_t kReady = 1, kFatal = 2, kShutdownDone = 2 << 2;

constexpr uint32_t kPage = 4096;
constexpr uint32_t kMostEntries = 1024;  // of a queue
constexpr uint32_t kIoQueues = 8;
constexpr uint32_t kVectors = 1 + kIoQueues;
constexpr uint32_t kMaxTransferShift = 7;  // MDTS: 2^7 pages
constexpr uint32_t kMostPages = (1u << kMaxTransferShift) + 1;
constexpr uint32_t kBlockShift = 9;

// A command, §4.2.
struct Command {
  uint8_t opcode;
  uint8_t flags;
  uint16_t id;
  uint32_t nsid;
  uint64_t reserved;
  uint64_t metadata;
  uint64_t prp1, prp2;
  uint32_t dw10, dw11, dw12, dw13, dw14, dw15;
};
static_assert(sizeof(Command) == 64);

// A completion, §4.6.
struct Completion {
  uint32_t result;
  uint32_t reserved;
  uint16_t sq_head, sq_id;
  uint16_t command_id, status;  // bit 0 of the status is the phase
};
static_assert(sizeof(Completion) == 16);

enum AdminOpcode : uint8_t {  // §5
  kDeleteSq = 0x00,
  kCreateSq = 0x01,
  kGetLogPage = 0x02,
  kDeleteCq = 0x04,
  kCreateCq = 0x05,
  kIdentify = 0x06,
  kAbort = 0x08,
  kSetFeatures = 0x09,
  kGetFeatures = 0x0a,
  kAsyncEvent = 0x0c,
};
enum IoOpcode : uint8_t { kFlush = 0x00, kWrite = 0x01, kRead = 0x02, kWriteZeroes = 0x08 };  // §6

// Status without the phase, §4.6.1: code in bits 7:0, type in 10:8, "do not retry" in bit 14.
enum Status : uint16_t {
  kSuccess = 0,
  kInvalidOpcode = 0x4001,
  kInvalidField = 0x4002,
  kTransferError = 0x0004,
  kInternalError = 0x0006,
  kInvalidNamespace = 0x400b,
  kInvalidPrpOffset = 0x4013,
  kWriteProtected = 0x4020,
  kLbaOutOfRange = 0x4080,
  kInvalidCq = 0x4100,
  kInvalidQueueId = 0x4101,
  kInvalidQueueSize = 0x4102,
  kTooManyAsyncEvents = 0x4105,
  kInvalidVector = 0x4108,
  kInvalidLogPage = 0x4109,
  kInvalidQueueDeletion = 0x410c,
};

}  // namespace nvme
