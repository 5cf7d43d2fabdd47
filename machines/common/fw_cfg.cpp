#include "machines/common/fw_cfg.hpp"

#include <algorithm>
#include <atomic>

namespace nacre::machine {
namespace {

// A command for a copy; all fields are big-endian.
struct Command {
  uint32_t control;
  uint32_t length;
  uint64_t address;
};
enum : uint32_t { kError = 1, kRead = 2, kSkip = 4, kSelect = 8, kWrite = 16 };

template <typename T>
void append_big(Bytes& to, T value) {
  for (size_t i = sizeof value; i-- > 0;) to.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

}  // namespace

void FwCfg::clear() {
  reset();
  items_.clear();
  files_.clear();
  set(kSignature, {'Q', 'E', 'M', 'U'});
  set_number<uint32_t>(kId, kFwCfgFeatures);
}

void FwCfg::set(uint16_t key, Bytes content) {
  Item& item = items_[key];
  item = {};
  item.length = content.size();
  item.bytes = std::move(content);
}

void FwCfg::set(uint16_t key, const BootFile& file, uint64_t offset, uint64_t length) {
  items_[key] = {{}, &file, offset, length};
}

void FwCfg::add_file(std::string_view name, Bytes content) {
  files_.emplace(name, std::move(content));
}

void FwCfg::finish() {
  Bytes directory;
  append_big(directory, static_cast<uint32_t>(files_.size()));
  uint16_t key = kFirstFile;
  for (auto& [name, content] : files_) {
    append_big(directory, static_cast<uint32_t>(content.size()));
    append_big(directory, key);
    append_big(directory, uint16_t{0});
    append_text(directory, std::string_view(name).substr(0, kMaxName), kMaxName + 1, '\0');
    set(key++, std::move(content));
  }
  files_.clear();
  set(kDirectory, std::move(directory));
}

void FwCfg::reset() {
  selected_ = nullptr;
  position_ = 0;
  busy_ = false;
}

void FwCfg::select(uint16_t key) {
  if (busy_) return;
  auto found = items_.find(key);
  selected_ = found == items_.end() ? nullptr : &found->second;
  position_ = 0;
}

uint8_t FwCfg::read_byte() {
  uint8_t byte = 0;
  if (!busy_) read_item({&byte, 1});
  return byte;
}

// The next bytes of what is selected; zeroes behind its end, and for what cannot be read.
void FwCfg::read_item(std::span<uint8_t> to) {
  size_t count = 0;
  if (selected_ && position_ < selected_->length) {
    count = static_cast<size_t>(std::min<uint64_t>(to.size(), selected_->length - position_));
    if (!selected_->file) {
      std::memcpy(to.data(), selected_->bytes.data() + position_, count);
    } else {
      sdk::Result<size_t> read = selected_->file->read(selected_->offset + position_, to.first(count));
      count = read ? std::min(*read, count) : 0;
    }
  }
  std::memset(to.data() + count, 0, to.size() - count);
  position_ += to.size();
}

bool FwCfg::start_dma(const sdk::MemoryView& memory, uint64_t address) {
  Command command;
  if (busy_ || !memory.read(address, &command, sizeof command)) return false;
  const uint32_t control = __builtin_bswap32(command.control);
  const uint64_t length = __builtin_bswap32(command.length);
  const uint64_t to = __builtin_bswap64(command.address);
  if (control & kSelect) select(static_cast<uint16_t>(control >> 16));
  bool failed = false;
  if (control & kRead) {
    if (length > kAtOnce) {
      transfer_ = {address, to, length};
      return busy_ = true;
    }
    failed = !copy(memory, to, length);
  } else if (control & kWrite) {
    failed = true;  // nothing here is the guest's to change
  } else if (control & kSkip) {
    position_ += length;
  }
  complete(memory, address, failed);
  return false;
}

bool FwCfg::step(const sdk::MemoryView& memory) {
  if (!busy_) return false;
  const uint64_t length = std::min(transfer_.left, kSlice);
  const bool copied = copy(memory, transfer_.to, length);
  transfer_.to += length;
  transfer_.left -= length;
  if (copied && transfer_.left) return true;
  busy_ = false;
  complete(memory, transfer_.command, !copied);
  return false;
}

// Into RAM, across regions that adjoin. False, with nothing read, when a byte of it is not RAM.
bool FwCfg::copy(const sdk::MemoryView& memory, uint64_t to, uint64_t length) {
  auto part_at = [&](uint64_t gpa, uint64_t most) -> std::span<uint8_t> {
    for (uint32_t i = 0; i < memory.size(); ++i) {
      const nacre_memory_region& region = memory[i];
      if (gpa < region.gpa || gpa - region.gpa >= region.len) continue;
      if (!region.hva || region.flags & NACRE_MEMORY_READONLY) return {};
      const uint64_t offset = gpa - region.gpa;
      return {region.hva + offset, static_cast<size_t>(std::min(most, region.len - offset))};
    }
    return {};
  };
  if (to + length < to) return false;
  for (uint64_t done = 0; done < length;) {
    const std::span<uint8_t> part = part_at(to + done, length - done);
    if (part.empty()) return false;
    done += part.size();
  }
  for (uint64_t done = 0; done < length;) {
    const std::span<uint8_t> part = part_at(to + done, length - done);
    read_item(part);
    done += part.size();
  }
  return true;
}

// The guest looks for the change of this word, behind everything else.
void FwCfg::complete(const sdk::MemoryView& memory, uint64_t command, bool failed) {
  const uint32_t control = failed ? __builtin_bswap32(uint32_t{kError}) : 0;
  std::atomic_thread_fence(std::memory_order_seq_cst);
  memory.write(command, &control, sizeof control);
}

}  // namespace nacre::machine
