#include "blk_request.hpp"

namespace nacre::virtio_blk {
namespace {

Parsed complete(Request& request, Status status, uint32_t written = 0) {
  *request.status = status;
  request.written = written + 1;
  return Parsed::Completed;
}

bool inside(const DiskFacts& disk, uint64_t sector, uint64_t length) {
  return sector <= disk.capacity / kSectorSize && length <= disk.capacity - sector * kSectorSize;
}

Parsed transfer(Request& request, uint32_t op, uint64_t sector, sdk::IoVector& data, const DiskFacts& disk) {
  if (data.length() == 0 || data.length() % kSectorSize || !inside(disk, sector, data.length()))
    return complete(request, kIoErr);
  request.backend.op = op;
  request.backend.offset = sector * kSectorSize;
  request.backend.length = data.length();
  request.backend.iov = data.data();
  request.backend.n_iov = data.count();
  request.written = op == NACRE_BLOCK_READ ? static_cast<uint32_t>(data.length()) + 1 : 1;
  return Parsed::Submit;
}

Parsed range(Request& request, uint32_t op, sdk::IoVector& data, const DiskFacts& disk) {
  Segment segment;
  if (data.length() != sizeof segment) return complete(request, data.length() % sizeof segment ? kIoErr : kUnsupp);
  data.take_front(&segment, sizeof segment);
  bool unmap = segment.flags & kSegmentUnmap;
  // §5.2.6.1: unknown flags, and the unmap flag of a discard, are answered with UNSUPP.
  if (segment.flags & ~kSegmentUnmap || (op == NACRE_BLOCK_DISCARD && unmap)) return complete(request, kUnsupp);
  uint64_t length = uint64_t{segment.num_sectors} * kSectorSize;
  if (segment.num_sectors > kMaxSegmentSectors || !inside(disk, segment.sector, length))
    return complete(request, kIoErr);
  if (length == 0) return complete(request, kOk);
  request.backend.op = op;
  if (unmap) request.backend.flags = NACRE_BLOCK_UNMAP;
  request.backend.offset = segment.sector * kSectorSize;
  request.backend.length = length;
  request.written = 1;
  return Parsed::Submit;
}

}  // namespace

Parsed parse(Request& request, sdk::DescriptorChain& chain, const DiskFacts& disk) {
  Header header;
  request.backend = {};
  request.head = chain.head;
  request.write_through = false;
  request.status = chain.writable.take_last_byte();
  if (!request.status || !chain.readable.take_front(&header, sizeof header)) return Parsed::Malformed;

  bool changes = header.type == kOut || header.type == kDiscardType || header.type == kWriteZeroesType;
  if (changes && disk.readonly) return complete(request, kIoErr);
  switch (header.type) {
    case kIn:
      return transfer(request, NACRE_BLOCK_READ, header.sector, chain.writable, disk);
    case kOut:
      return transfer(request, NACRE_BLOCK_WRITE, header.sector, chain.readable, disk);
    case kFlushType:
      if (!disk.present) return complete(request, kIoErr);
      request.backend.op = NACRE_BLOCK_FLUSH;
      request.written = 1;
      return Parsed::Submit;
    case kGetId:
      return complete(request, kOk, static_cast<uint32_t>(chain.writable.put_front(disk.id, kIdBytes)));
    case kDiscardType:
      return disk.discard ? range(request, NACRE_BLOCK_DISCARD, chain.readable, disk) : complete(request, kUnsupp);
    case kWriteZeroesType:
      return disk.write_zeroes ? range(request, NACRE_BLOCK_WRITE_ZEROES, chain.readable, disk)
                               : complete(request, kUnsupp);
    default:
      return complete(request, kUnsupp);
  }
}

}  // namespace nacre::virtio_blk
