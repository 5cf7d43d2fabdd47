#include "exports.hpp"

#include <elf.h>

#include <cstring>
#include <fstream>
#include <iterator>

namespace nacre::check {
namespace {

// The bytes of a file, and structures in them; nothing where they would lie outside.
class Image {
 public:
  explicit Image(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
  }
  template <typename T>
  bool get(uint64_t offset, T& value) const {
    if (offset > bytes_.size() || bytes_.size() - offset < sizeof value) return false;
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return true;
  }
  std::string text(uint64_t offset) const {
    std::string word;
    while (offset < bytes_.size() && bytes_[offset]) word += bytes_[offset++];
    return word;
  }

 private:
  std::string bytes_;
};

}  // namespace

Exports exports_of(const std::string& path) {
  const Image image(path);
  Exports found;
  Elf64_Ehdr head;
  if (!image.get(0, head)) return found;
  for (unsigned i = 0; i < head.e_shnum; ++i) {
    Elf64_Shdr section, strings;
    if (!image.get(head.e_shoff + uint64_t{i} * sizeof section, section) || section.sh_type != SHT_DYNSYM) continue;
    if (!image.get(head.e_shoff + uint64_t{section.sh_link} * sizeof strings, strings)) continue;
    Elf64_Sym symbol;
    for (uint64_t at = 0; at + sizeof symbol <= section.sh_size; at += sizeof symbol) {
      if (!image.get(section.sh_offset + at, symbol)) break;
      const unsigned binding = ELF64_ST_BIND(symbol.st_info);
      if (symbol.st_shndx == SHN_UNDEF || binding == STB_LOCAL) continue;
      const std::string name = image.text(strings.sh_offset + symbol.st_name);
      found.defined.push_back(name);
      if (binding == STB_GNU_UNIQUE) found.unique.push_back(name);
    }
  }
  return found;
}

}  // namespace nacre::check
