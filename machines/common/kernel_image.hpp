// What a kernel file is, and where it wants to be: told from its headers, without loading it.
#pragma once

#include <cstdint>
#include <nacre/result.hpp>
#include <string>
#include <vector>

#include "machines/common/boot_file.hpp"
#include "machines/common/bytes.hpp"
#include "machines/common/memory_map.hpp"

namespace nacre::machine {

enum class KernelKind { kElf, kBzImage, kFlat };

// The state that the kernel is entered in.
enum class KernelEntry {
  kLinux64,  // Linux Documentation/arch/x86/boot.rst, "64-bit Boot Protocol"
  kLinux32,  // the same, "32-bit Boot Protocol"
  kPvh,      // Xen docs/misc/pvh.pandoc
};

// [file_offset, file_offset + file_size) of the file belongs at gpa, followed by zeros up to memory_size.
struct KernelSegment {
  uint64_t gpa;
  uint64_t file_offset;
  uint64_t file_size;
  uint64_t memory_size;
};

struct KernelImage {
  KernelKind kind = KernelKind::kElf;
  KernelEntry entry = KernelEntry::kLinux64;
  uint64_t entry_point = 0;             // guest-physical
  std::vector<KernelSegment> segments;  // ascending by gpa, without overlap, none empty
  uint64_t begin = 0;                   // [begin, end) is the kernel's until it has told what it needs
  uint64_t end = 0;
  uint64_t initrd_last = 0x7fffffff;  // the highest byte that an initrd may have
  uint32_t command_line_max = 2047;   // bytes, without the final zero
  Bytes setup_header;                 // bzImage: the file's bytes from 0x1F1 on, as far as the header goes
};

// Describes the kernel. Fails in one sentence that says what the file is instead, what is wrong with it, or what memory
// it would need: kernels of other architectures and 32-bit ELF, compressed and truncated files, and segments that
// wrap, overlap, or do not lie between 1 MiB and ram.low_end. Never trusts the file.
sdk::Result<KernelImage> inspect_kernel(const BootFile& file, const RamLayout& ram);

// The parts of inspect_kernel(); `head` is the beginning of the file, at most kKernelHead bytes.
inline constexpr size_t kKernelHead = 4096;
bool is_elf(const Bytes& head);
sdk::Result<KernelImage> inspect_elf(const BootFile& file, const Bytes& head);
bool is_linux_boot_image(const Bytes& head);
sdk::Result<KernelImage> inspect_linux_boot_image(const BootFile& file, const Bytes& head);
// Says what a file that is no kernel for this machine looks like ("a gzip-compressed file ..."), or "".
std::string describe_other_file(const Bytes& head);

}  // namespace nacre::machine
