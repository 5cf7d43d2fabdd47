#include "core/plugin/elf_note.hpp"

#include <elf.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

namespace nacre {
namespace {

constexpr uint64_t kPage = 4096;
constexpr uint16_t kMaxSegments = 64;
constexpr uint64_t kMaxNotes = 1u << 20;
constexpr uint64_t kMaxStrings = 1u << 20;
constexpr uint16_t kMaxNeeded = 256;

#if defined(__x86_64__)
constexpr uint16_t kMachine = EM_X86_64;
constexpr uint8_t kArch = NACRE_ARCH_X86_64;
#else
constexpr uint16_t kMachine = EM_AARCH64;
constexpr uint8_t kArch = NACRE_ARCH_AARCH64;
#endif

std::string machine_name(uint16_t machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86_64";
    case EM_AARCH64:
      return "aarch64";
    case EM_386:
      return "i386";
    case EM_ARM:
      return "arm";
    case EM_RISCV:
      return "riscv";
    case EM_PPC64:
      return "ppc64";
    case EM_S390:
      return "s390x";
    default:
      return fmt::format("machine type {}", machine);
  }
}

// A file of known size, read at checked offsets. Its first page, which holds all that is asked of most plugins, is read
// once.
class File {
 public:
  File(int fd, uint64_t size) : fd_(fd), size_(size) {
    ssize_t got = pread(fd_, first_, static_cast<size_t>(std::min(kPage, size_)), 0);
    cached_ = got > 0 ? static_cast<uint64_t>(got) : 0;
  }

  uint64_t size() const { return size_; }
  bool holds(uint64_t offset, uint64_t length) const { return length <= size_ && offset <= size_ - length; }

  bool read(uint64_t offset, void* to, uint64_t length) const {
    if (!holds(offset, length)) return false;
    if (offset <= cached_ && length <= cached_ - offset) {
      std::memcpy(to, first_ + offset, static_cast<size_t>(length));
      return true;
    }
    auto* at = static_cast<char*>(to);
    while (length != 0) {
      ssize_t got = pread(fd_, at, static_cast<size_t>(length), static_cast<off_t>(offset));
      if (got <= 0) return false;
      at += got;
      offset += static_cast<uint64_t>(got);
      length -= static_cast<uint64_t>(got);
    }
    return true;
  }

 private:
  int fd_;
  uint64_t size_;
  uint64_t cached_ = 0;
  char first_[kPage];
};

struct Image {
  Elf64_Ehdr header;
  uint16_t count = 0;
  Elf64_Phdr segments[kMaxSegments];
};

Error cut_off(const File& file, const std::string& path) {
  return fail("'{}' is a damaged ELF file: parts of it lie beyond its end at byte {}. Was it copied completely?", path,
              file.size());
}

Status read_image(const File& file, const std::string& path, Image& image) {
  unsigned char magic[SELFMAG];
  if (!file.read(0, magic, sizeof magic) || std::memcmp(magic, ELFMAG, SELFMAG) != 0)
    return file.size() == 0 ? fail("'{}' is empty; it is not an ELF file.", path)
                            : fail("'{}' is not an ELF file.", path);
  Elf64_Ehdr& header = image.header;
  if (!file.read(0, &header, sizeof header)) return cut_off(file, path);
  if (header.e_ident[EI_DATA] == ELFDATA2LSB && header.e_machine != kMachine)
    return fail("'{}' is built for {}; this VMM runs on {}.", path, machine_name(header.e_machine),
                machine_name(kMachine));
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB)
    return fail("'{}' is not a 64-bit little-endian ELF file; this VMM runs on {}.", path, machine_name(kMachine));
  if (header.e_type != ET_DYN)
    return fail("'{}' is an ELF file but no shared object (type {}); a plugin is linked with -shared.", path,
                header.e_type);
  if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 || header.e_phnum > kMaxSegments)
    return fail("'{}' is a damaged ELF file: it declares {} program headers of {} bytes.", path, header.e_phnum,
                header.e_phentsize);
  image.count = header.e_phnum;
  if (!file.read(header.e_phoff, image.segments, image.count * sizeof(Elf64_Phdr))) return cut_off(file, path);
  for (uint16_t i = 0; i < image.count; ++i) {
    const Elf64_Phdr& segment = image.segments[i];
    // Touching a mapped page beyond the end of its file is a SIGBUS.
    if (segment.p_type != PT_NULL && !file.holds(segment.p_offset, segment.p_filesz)) return cut_off(file, path);
  }
  return {};
}

uint64_t aligned(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

// Looks through one note segment. Nothing: no note of ours in it.
Result<std::optional<PluginNote>> find_note(const File& file, const Elf64_Phdr& segment, const std::string& path) {
  const uint64_t alignment = segment.p_align == 8 ? 8 : 4;
  const uint64_t end = segment.p_offset + segment.p_filesz;
  uint64_t at = segment.p_offset;
  while (end - at >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr note;
    if (!file.read(at, &note, sizeof note)) return cut_off(file, path);
    const uint64_t name = at + sizeof note;
    const uint64_t desc = name + aligned(note.n_namesz, alignment);
    const uint64_t next = desc + aligned(note.n_descsz, alignment);
    if (desc > end || note.n_descsz > end - desc) break;
    char owner[sizeof NACRE_NOTE_OWNER];
    if (note.n_type == NACRE_NOTE_TYPE && note.n_namesz == sizeof owner && file.read(name, owner, sizeof owner) &&
        std::memcmp(owner, NACRE_NOTE_OWNER, sizeof owner) == 0) {
      PluginNote found;
      // The reader takes what both sides know of the head.
      uint16_t versions[2];
      if (note.n_descsz < sizeof versions || !file.read(desc, versions, sizeof versions) || versions[0] == 0 ||
          versions[1] < offsetof(nacre_note, host_build_id) || versions[1] > note.n_descsz)
        return fail("'{}' has a damaged plugin note: its head is not complete.", path);
      if (!file.read(desc, &found.head, std::min<uint64_t>(versions[1], sizeof found.head))) return cut_off(file, path);
      const uint64_t room = note.n_descsz - versions[1];
      if (found.head.json_size > room || found.head.json_size > NACRE_NOTE_JSON_MAX || found.head.json_size == 0)
        return fail(
            "'{}' has a damaged plugin note: {} bytes of description where there are {}, of which at most {} "
            "may be.",
            path, found.head.json_size, room, NACRE_NOTE_JSON_MAX);
      found.json.resize(found.head.json_size);
      if (!file.read(desc + versions[1], found.json.data(), found.json.size())) return cut_off(file, path);
      return std::optional(std::move(found));
    }
    if (next > end) break;
    at = next;
  }
  return std::optional<PluginNote>();
}

}  // namespace

Result<PluginNote> read_plugin_note(int fd, uint64_t size, const std::string& path) {
  File file(fd, size);
  Image image;
  if (Status read = read_image(file, path, image); !read) return read.error();
  for (uint16_t i = 0; i < image.count; ++i) {
    const Elf64_Phdr& segment = image.segments[i];
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMaxNotes) continue;
    Result<std::optional<PluginNote>> found = find_note(file, segment, path);
    if (!found) return found.error();
    if (!*found) continue;
    if ((*found)->head.arch != kArch)
      return fail("'{}' is built for {}; this VMM runs on {}.", path,
                  (*found)->head.arch == NACRE_ARCH_AARCH64 ? "aarch64" : "another machine", machine_name(kMachine));
    return std::move(**found);
  }
  return fail("'{}' is an ELF library but carries no Nacre plugin note; it was not built with the Nacre SDK.", path);
}

std::vector<std::string> needed_libraries(int fd, uint64_t size) {
  File file(fd, size);
  Image image;
  std::vector<std::string> names;
  if (!read_image(file, "", image)) return names;
  // Where the bytes of an address lie in the file.
  auto offset_of = [&](uint64_t address, uint64_t length) -> std::optional<uint64_t> {
    for (uint16_t i = 0; i < image.count; ++i) {
      const Elf64_Phdr& segment = image.segments[i];
      if (segment.p_type == PT_LOAD && address >= segment.p_vaddr && address - segment.p_vaddr <= segment.p_filesz &&
          length <= segment.p_filesz - (address - segment.p_vaddr))
        return segment.p_offset + (address - segment.p_vaddr);
    }
    return std::nullopt;
  };
  for (uint16_t i = 0; i < image.count; ++i) {
    const Elf64_Phdr& segment = image.segments[i];
    if (segment.p_type != PT_DYNAMIC) continue;
    uint64_t strings = 0, length = 0;
    std::vector<uint64_t> offsets;
    for (uint64_t at = 0; at + sizeof(Elf64_Dyn) <= segment.p_filesz; at += sizeof(Elf64_Dyn)) {
      Elf64_Dyn entry;
      if (!file.read(segment.p_offset + at, &entry, sizeof entry) || entry.d_tag == DT_NULL) break;
      if (entry.d_tag == DT_STRTAB) strings = entry.d_un.d_ptr;
      if (entry.d_tag == DT_STRSZ) length = entry.d_un.d_val;
      if (entry.d_tag == DT_NEEDED && offsets.size() < kMaxNeeded) offsets.push_back(entry.d_un.d_val);
    }
    std::optional<uint64_t> at = offset_of(strings, length);
    if (!at || length == 0 || length > kMaxStrings) return names;
    std::string table(length, '\0');
    if (!file.read(*at, table.data(), length)) return names;
    for (uint64_t offset : offsets)
      if (offset < length) names.emplace_back(table.c_str() + offset);
  }
  return names;
}

}  // namespace nacre
