// ELF kernels: vmlinux, and other 64-bit x86 kernels with or without the Xen PVH note.
#include <elf.h>

#include <algorithm>
#include <optional>

#include "machines/common/kernel_image.hpp"

namespace nacre::machine {
namespace {

using sdk::fail;
using sdk::Result;
using sdk::Status;

constexpr uint32_t kXenPhys32Entry = 18;  // Xen public/elfnote.h: the physical address of the 32-bit PVH entry
constexpr uint64_t kMaxNotes = 1 << 20;   // bytes of one note segment that are looked at

template <typename T>
T read_struct(const Bytes& from, size_t offset) {
  T value{};
  if (offset <= from.size() && from.size() - offset >= sizeof value)
    std::memcpy(&value, from.data() + offset, sizeof value);
  return value;
}

const char* machine_name(uint16_t machine) {
  switch (machine) {
    case EM_AARCH64:
      return "AArch64";
    case EM_ARM:
      return "32-bit Arm";
    case EM_386:
      return "32-bit x86";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "64-bit PowerPC";
    case EM_S390:
      return "S/390";
    case EM_MIPS:
      return "MIPS";
    case 258:
      return "LoongArch";
    default:
      return nullptr;
  }
}

Status check_header(const BootFile& file, const Elf64_Ehdr& header) {
  const std::string& path = file.path();
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64) {
    const bool big = header.e_ident[EI_DATA] == ELFDATA2MSB;
    const uint16_t machine = big ? __builtin_bswap16(header.e_machine) : header.e_machine;
    const char* name = machine_name(machine);
    if (machine == EM_X86_64)
      return fail("the kernel '", path, "' is a 32-bit ELF file; give a 64-bit vmlinux, or the bzImage.");
    return fail("the kernel '", path, "' is an ELF file for ",
                name ? std::string(name) : "processor type " + std::to_string(machine),
                ", and this machine is x86_64.");
  }
  if (header.e_type == ET_REL) return fail("'", path, "' is not a kernel: it is an object file or a kernel module.");
  if (header.e_type == ET_CORE) return fail("'", path, "' is not a kernel: it is a core dump.");
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
    return fail("'", path, "' is not a kernel: its ELF type ", std::to_string(header.e_type), " is unknown.");
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 || header.e_phnum == PN_XNUM)
    return fail("the kernel '", path, "' has no usable ELF program headers.");
  return {};
}

sdk::Error truncated(const BootFile& file, uint64_t needed) {
  return fail("the kernel '", file.path(), "' is truncated: its headers speak of bytes up to ", std::to_string(needed),
              ", and the file has ", std::to_string(file.size()), "; copy or build it again.");
}

bool past_end(const BootFile& file, uint64_t offset, uint64_t size) {
  return offset > file.size() || size > file.size() - offset;
}

// Looks for the PVH entry in one note segment (ELF gABI, "Note Section": sizes rounded up to 4).
Result<std::optional<uint64_t>> find_pvh_note(const BootFile& file, const Elf64_Phdr& segment) {
  Bytes notes(std::min<uint64_t>(segment.p_filesz, kMaxNotes));
  Result<size_t> count = file.read(segment.p_offset, notes);
  if (!count) return count.error();
  notes.resize(*count);
  auto padded = [](uint64_t size) { return (size + 3) & ~3ull; };
  for (uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
    const auto note = read_struct<Elf64_Nhdr>(notes, at);
    const uint64_t name = at + sizeof note;
    const uint64_t data = name + padded(note.n_namesz);
    const uint64_t end = data + note.n_descsz;
    if (end > notes.size()) break;
    const bool xen = note.n_namesz == 4 && std::memcmp(notes.data() + name, "Xen", 4) == 0;
    if (xen && note.n_type == kXenPhys32Entry) {
      if (note.n_descsz == 8) return std::optional<uint64_t>(get<uint64_t>(notes, data));
      if (note.n_descsz == 4) return std::optional<uint64_t>(get<uint32_t>(notes, data));
      return fail("the kernel '", file.path(), "' has a PVH entry note of ", std::to_string(note.n_descsz),
                  " bytes; 4 or 8 were expected.");
    }
    at = data + padded(note.n_descsz);
  }
  return std::optional<uint64_t>();
}

Status add_segment(const BootFile& file, const Elf64_Phdr& segment, KernelImage& image) {
  if (segment.p_memsz == 0) return {};
  if (past_end(file, segment.p_offset, segment.p_filesz)) {
    uint64_t end = 0;
    if (__builtin_add_overflow(segment.p_offset, segment.p_filesz, &end)) end = UINT64_MAX;
    return truncated(file, end);
  }
  if (segment.p_filesz > segment.p_memsz)
    return fail("the kernel '", file.path(), "' is damaged: a segment has more bytes in the file than in memory.");
  uint64_t end = 0;
  if (__builtin_add_overflow(segment.p_paddr, segment.p_memsz, &end))
    return fail("the kernel '", file.path(), "' is damaged: its segment at ", hex(segment.p_paddr),
                " reaches beyond the end of the address space.");
  image.segments.push_back({segment.p_paddr, segment.p_offset, segment.p_filesz, segment.p_memsz});
  return {};
}

// The physical address of the entry point: linkers write it as a virtual one when the kernel says nothing else.
Result<uint64_t> physical_entry(const BootFile& file, const KernelImage& image, uint64_t entry,
                                const std::vector<Elf64_Phdr>& headers) {
  for (const KernelSegment& segment : image.segments)
    if (entry >= segment.gpa && entry - segment.gpa < segment.memory_size) return entry;
  for (const Elf64_Phdr& header : headers)
    if (header.p_type == PT_LOAD && entry >= header.p_vaddr && entry - header.p_vaddr < header.p_memsz)
      return header.p_paddr + (entry - header.p_vaddr);
  return fail("the kernel '", file.path(), "' is damaged: its entry point ", hex(entry), " is in no segment.");
}

}  // namespace

bool is_elf(const Bytes& head) {
  return head.size() >= SELFMAG && std::memcmp(head.data(), ELFMAG, SELFMAG) == 0;
}

Result<KernelImage> inspect_elf(const BootFile& file, const Bytes& head) {
  if (head.size() < sizeof(Elf64_Ehdr)) return truncated(file, sizeof(Elf64_Ehdr));
  const auto header = read_struct<Elf64_Ehdr>(head, 0);
  if (Status checked = check_header(file, header); !checked) return checked.error();

  Bytes table(header.e_phnum * sizeof(Elf64_Phdr));
  if (past_end(file, header.e_phoff, table.size())) {
    uint64_t end = 0;
    if (__builtin_add_overflow(header.e_phoff, table.size(), &end)) end = UINT64_MAX;
    return truncated(file, end);
  }
  Result<size_t> count = file.read(header.e_phoff, table);
  if (!count) return count.error();
  if (*count < table.size()) return truncated(file, header.e_phoff + table.size());

  KernelImage image;
  image.kind = KernelKind::kElf;
  std::vector<Elf64_Phdr> headers;
  std::optional<uint64_t> pvh;
  for (size_t i = 0; i < header.e_phnum; ++i) {
    const auto segment = read_struct<Elf64_Phdr>(table, i * sizeof(Elf64_Phdr));
    headers.push_back(segment);
    if (segment.p_type == PT_INTERP || segment.p_type == PT_TLS)
      return fail("'", file.path(), "' is not a kernel: it is a program or library of Linux user space.");
    if (segment.p_type == PT_LOAD)
      if (Status added = add_segment(file, segment, image); !added) return added.error();
    if (segment.p_type == PT_NOTE && !pvh && !past_end(file, segment.p_offset, segment.p_filesz)) {
      Result<std::optional<uint64_t>> found = find_pvh_note(file, segment);
      if (!found) return found.error();
      pvh = *found;
    }
  }
  if (image.segments.empty()) return fail("'", file.path(), "' is not a kernel: it has nothing to load.");
  std::sort(image.segments.begin(), image.segments.end(),
            [](const KernelSegment& a, const KernelSegment& b) { return a.gpa < b.gpa; });
  for (size_t i = 1; i < image.segments.size(); ++i) {
    const KernelSegment& before = image.segments[i - 1];
    if (image.segments[i].gpa < before.gpa + before.memory_size)
      return fail("the kernel '", file.path(), "' is damaged: its segments at ", hex(before.gpa), " and ",
                  hex(image.segments[i].gpa), " overlap.");
  }
  image.begin = image.segments.front().gpa;
  image.end = image.segments.back().gpa + image.segments.back().memory_size;

  Result<uint64_t> entry = physical_entry(file, image, pvh.value_or(header.e_entry), headers);
  if (!entry) return entry.error();
  image.entry_point = *entry;
  image.entry = pvh ? KernelEntry::kPvh : KernelEntry::kLinux64;
  if (pvh && image.end > 4 * kGiB)
    return fail("the kernel '", file.path(), "' has its 32-bit PVH entry or a segment beyond 4 GiB.");
  return image;
}

}  // namespace nacre::machine
