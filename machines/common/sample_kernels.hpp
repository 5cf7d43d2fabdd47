// Small kernels of each kind, for tests.
#pragma once

#include <elf.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "machines/common/bytes.hpp"

namespace nacre::machine {

template <typename T>
void append_struct(Bytes& to, const T& value) {
  append(to, std::span(reinterpret_cast<const uint8_t*>(&value), sizeof value));
}

// An ELF file of two segments, 0x1000 bytes from 0x1000 at 16 MiB and 0x800 from 0x2000 at 17 MiB with 0x800 zeros
// behind it, and a note with the PVH entry when given.
struct SampleElf {
  Elf64_Ehdr header{};
  std::vector<Elf64_Phdr> segments;
  std::optional<uint64_t> pvh;

  SampleElf() {
    const unsigned char ident[] = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
    std::copy(std::begin(ident), std::end(ident), header.e_ident);
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_entry = 0x1000010;
    header.e_phoff = sizeof(Elf64_Ehdr);
    header.e_ehsize = sizeof(Elf64_Ehdr);
    header.e_phentsize = sizeof(Elf64_Phdr);
    segments.push_back({PT_LOAD, PF_R | PF_X, 0x1000, 0xffffffff81000000, 0x1000000, 0x1000, 0x1000, 0x1000});
    segments.push_back({PT_LOAD, PF_R | PF_W, 0x2000, 0xffffffff81100000, 0x1100000, 0x800, 0x1000, 0x1000});
  }

  Bytes bytes() const {
    std::vector<Elf64_Phdr> all = segments;
    Bytes note;
    if (pvh) {
      append_struct(note, Elf64_Nhdr{4, 6, 6});
      append_text(note, "Xen", 4, '\0');
      append_text(note, "linux", 8, '\0');
      append_struct(note, Elf64_Nhdr{4, 8, 18});
      append_text(note, "Xen", 4, '\0');
      append(note, *pvh);
      all.push_back({PT_NOTE, PF_R, 0x400, 0, 0, note.size(), note.size(), 4});
    }
    Elf64_Ehdr head = header;
    head.e_phnum = static_cast<Elf64_Half>(all.size());
    Bytes out;
    append_struct(out, head);
    for (const Elf64_Phdr& segment : all) append_struct(out, segment);
    out.resize(0x400);
    append(out, std::span<const uint8_t>(note));
    out.resize(0x2800);
    std::fill(out.begin() + 0x1000, out.begin() + 0x2000, 0x11);
    std::fill(out.begin() + 0x2000, out.end(), 0x22);
    return out;
  }
};

// A bzImage with 4 setup sectors and 0x3000 bytes of packed kernel.
struct SampleBzImage {
  uint16_t version = 0x20f;
  uint16_t xloadflags = 1;
  uint8_t relocatable = 1;
  uint32_t initrd_max = 0x7fffffff;
  uint32_t init_size = 0x800000;

  static constexpr size_t kSetup = 5 * 512, kPacked = 0x3000;
  Bytes bytes() const {
    Bytes out(kSetup + kPacked, 0x33);
    std::fill(out.begin() + 0x1f1, out.begin() + 0x26c, 0);
    out[0x1f1] = 4;
    put<uint32_t>(out, 0x1f4, kPacked / 16);
    put<uint16_t>(out, 0x1fe, 0xaa55);
    out[0x200] = 0xeb;
    out[0x201] = 0x6a;
    std::memcpy(out.data() + 0x202, "HdrS", 4);
    put<uint16_t>(out, 0x206, version);
    out[0x211] = 1;
    put<uint32_t>(out, 0x214, 0x100000);
    put<uint32_t>(out, 0x22c, initrd_max);
    put<uint32_t>(out, 0x230, 0x200000);
    out[0x234] = relocatable;
    put<uint16_t>(out, 0x236, xloadflags);
    put<uint32_t>(out, 0x238, 2047);
    put<uint64_t>(out, 0x258, 0x1000000);
    put<uint32_t>(out, 0x260, init_size);
    return out;
  }
};

// A flat image: code, and the banner across a boundary of 1 MiB.
inline Bytes sample_flat() {
  Bytes out(0x101000, 0x90);
  std::memcpy(out.data() + 0xffff8, "Linux version 6.1.0", 19);
  return out;
}

}  // namespace nacre::machine
