#include "prp.hpp"

#include <algorithm>

namespace nvme {
namespace {

constexpr uint64_t kOffset = kPage - 1;

// Adds a piece to what is there, in one with its neighbour where both follow each other.
Status add(const nacre::sdk::MemoryView& memory, uint64_t address, uint64_t length, iovec* parts, uint32_t& n) {
  uint8_t* at = memory.translate(address, length);
  if (!at) return kTransferError;
  if (n && static_cast<uint8_t*>(parts[n - 1].iov_base) + parts[n - 1].iov_len == at) {
    parts[n - 1].iov_len += length;
    return kSuccess;
  }
  parts[n++] = {at, length};
  return kSuccess;
}

}  // namespace

Status translate_prps(const nacre::sdk::MemoryView& memory, uint64_t prp1, uint64_t prp2, uint64_t length, iovec* parts,
                      uint32_t& n) {
  n = 0;
  if (prp1 % 4) return kInvalidPrpOffset;
  const uint64_t first = std::min(length, kPage - (prp1 & kOffset));
  if (Status status = add(memory, prp1, first, parts, n); status != kSuccess) return status;
  length -= first;
  if (length == 0) return kSuccess;
  if (length <= kPage) return prp2 & kOffset ? kInvalidPrpOffset : add(memory, prp2, length, parts, n);
  // A list, which may begin inside a page; the last entry of a page that does not end it is where it goes on.
  uint64_t list = prp2;
  if (list % sizeof(uint64_t)) return kInvalidPrpOffset;
  while (length) {
    uint64_t entry = 0;
    if (!memory.read(list, &entry, sizeof entry)) return kTransferError;
    if (entry & kOffset) return kInvalidPrpOffset;
    if ((list & kOffset) == kPage - sizeof entry && length > kPage) {
      // At its beginning there is an entry of data in any case: no chain of lists is without end.
      if (!memory.read(list = entry, &entry, sizeof entry)) return kTransferError;
      if (entry & kOffset) return kInvalidPrpOffset;
    }
    const uint64_t part = std::min<uint64_t>(length, kPage);
    if (Status status = add(memory, entry, part, parts, n); status != kSuccess) return status;
    length -= part;
    list += sizeof entry;
  }
  return kSuccess;
}

}  // namespace nvme
