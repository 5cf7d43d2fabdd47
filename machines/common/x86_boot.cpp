#include "machines/common/x86_boot.hpp"

#include <algorithm>

namespace nacre::machine {
namespace {

using sdk::fail;
using sdk::Result;
using sdk::Status;

constexpr uint64_t kPage = 4096;

sdk::Error no_memory() {
  return fail("the machine has less than 1 MiB of memory; give it more with -m.");
}

// Selectors 0x10 and 0x18, as both Linux boot protocols ask (boot.rst, "__BOOT_CS", "__BOOT_DS").
enum : uint16_t { kCodeSelector = 0x10, kDataSelector = 0x18, kTaskSelector = 0x20 };
// Bits 0-3 type, 4 S, 7 P, 9 L, 10 D/B, 11 G, as in nacre_x86_segment.
enum : uint16_t { kCode64 = 0xa9b, kCode32 = 0xc9b, kData = 0xc93, kTask = 0x08b };

constexpr uint64_t kPe = 1, kEt = 1 << 4, kNe = 1 << 5, kPg = 1ull << 31;  // CR0
constexpr uint64_t kPae = 1 << 5;                                          // CR4
constexpr uint64_t kLme = 1 << 8, kLma = 1 << 10;                          // EFER

// A flat segment in the form of the GDT (Intel SDM volume 3, §3.4.5).
constexpr uint64_t descriptor(uint16_t access) {
  return 0x000f00000000ffffull | uint64_t{access & 0xffu} << 40 | uint64_t{access & 0xf00u} << 44;
}

Status write_command_line(const KernelImage& image, std::string_view text, const sdk::MemoryView& memory) {
  const size_t most = std::min<uint64_t>(image.command_line_max, low::kCommandLineEnd - low::kCommandLine - 1);
  if (text.size() > most)
    return fail("the kernel command line has ", std::to_string(text.size()),
                " bytes with what the machine adds to it, and this kernel reads ", std::to_string(most),
                "; shorten -append.");
  uint8_t* at = memory.translate(low::kCommandLine, text.size() + 1);
  if (!at) return no_memory();
  std::copy(text.begin(), text.end(), at);
  at[text.size()] = 0;
  return {};
}

Status write_descriptor_tables(uint16_t code, const sdk::MemoryView& memory) {
  const uint64_t gdt[4] = {0, 0, descriptor(code), descriptor(kData)};
  const uint64_t idt = 0;
  if (!memory.write(low::kGdt, gdt, sizeof gdt) || !memory.write(low::kIdt, &idt, sizeof idt)) return no_memory();
  return {};
}

nacre_x86_state start_state(uint16_t code) {
  nacre_x86_state state{};
  state.size = sizeof state;
  state.rflags = 2;
  state.cs = {0, 0xffffffff, kCodeSelector, code};
  state.ds = state.es = state.fs = state.gs = state.ss = {0, 0xffffffff, kDataSelector, kData};
  state.tr = {0, 0x67, kTaskSelector, kTask};
  state.gdt_base = low::kGdt;
  state.gdt_limit = 4 * 8 - 1;
  state.idt_base = low::kIdt;
  state.idt_limit = 7;
  state.cr0 = kPe | kEt;
  return state;
}

}  // namespace

Status write_page_tables(uint64_t end, const sdk::MemoryView& memory) {
  constexpr uint64_t kPresentWritable = 3, kLarge = 1 << 7;
  const uint64_t gibs = std::clamp<uint64_t>((end + kGiB - 1) / kGiB, 1, 4);
  auto* pml4 = memory.translate(low::kPml4, kPage);
  auto* pdpt = memory.translate(low::kPdpt, kPage);
  auto* directories = memory.translate(low::kPageDirectories, gibs * kPage);
  if (!pml4 || !pdpt || !directories) return no_memory();
  std::memset(pml4, 0, kPage);
  std::memset(pdpt, 0, kPage);
  put<uint64_t>({pml4, kPage}, 0, low::kPdpt | kPresentWritable);
  for (uint64_t g = 0; g < gibs; ++g)
    put<uint64_t>({pdpt, kPage}, g * 8, (low::kPageDirectories + g * kPage) | kPresentWritable);
  for (uint64_t page = 0; page < gibs * 512; ++page)
    put<uint64_t>({directories, gibs * kPage}, page * 8, page << 21 | kLarge | kPresentWritable);
  return {};
}

Result<nacre_x86_state> prepare_boot(const KernelImage& image, const BootInfo& info, const sdk::MemoryView& memory) {
  if (Status written = write_command_line(image, info.command_line, memory); !written) return written.error();
  const bool long_mode = image.entry == KernelEntry::kLinux64;
  const uint16_t code = long_mode ? kCode64 : kCode32;
  if (Status written = write_descriptor_tables(code, memory); !written) return written.error();
  nacre_x86_state state = start_state(code);
  state.rip = image.entry_point;
  Status written;
  switch (image.entry) {
    case KernelEntry::kLinux64:
      written = write_page_tables(image.end, memory);
      state.cr0 = kPe | kEt | kNe | kPg;
      state.cr3 = low::kPml4;
      state.cr4 = kPae;
      state.efer = kLme | kLma;
      state.rsp = state.rbp = low::kStackTop;
      [[fallthrough]];
    case KernelEntry::kLinux32:
      if (written) written = write_zero_page(image, info, memory);
      state.rsi = low::kZeroPage;
      break;
    case KernelEntry::kPvh:
      written = write_pvh_start_info(info, memory);
      state.rbx = low::kPvhStartInfo;
      break;
  }
  if (!written) return written.error();
  return state;
}

}  // namespace nacre::machine
