// Kernels and initial file systems: what a file is, where it is put, and what the first vCPU finds.
#include <algorithm>
#include <array>
#include <optional>

#include "machines/common/fake_guest.hpp"
#include "machines/common/x86_boot.hpp"
#include "tests/fuzz/input.hpp"
#include "tests/fuzz/memory_file.hpp"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace nacre;
  using namespace nacre::machine;
  using fuzz::require;

  static FakeGuest guest(32 * kMiB);
  static fuzz::MemoryFile kernel_file("kernel"), initrd_file("initrd");
  fuzz::Input input(data, size);
  const uint8_t flags = input.number<uint8_t>();
  const uint64_t zeroes = uint64_t{input.number<uint8_t>()} << 14;  // behind the kernel's bytes
  const uint64_t initrd_size = uint64_t{input.number<uint16_t>()} << 8;
  const std::string command_line = input.text(input.number<uint8_t>());
  const auto bytes = input.take(input.left());
  kernel_file.fill(bytes, bytes.size() + zeroes);
  const RamLayout ram = RamLayout::split(flags & 1 ? 6 * kGiB : guest.ram.size(), 0xc0000000);

  sdk::Result<BootFile> kernel = BootFile::open(kernel_file.path(), "kernel");
  if (!kernel) return 0;  // empty
  sdk::Result<KernelImage> image = inspect_kernel(*kernel, ram);
  if (!image) {
    fuzz::require_sentence(image.error().message);
    return 0;
  }
  uint64_t end = kMiB;
  for (const KernelSegment& segment : image->segments) {
    require(segment.gpa >= end && segment.memory_size > 0 && segment.file_size <= segment.memory_size,
            "segments are ascending and not empty");
    require(segment.memory_size <= ram.low_end && segment.gpa <= ram.low_end - segment.memory_size,
            "segments lie in RAM");
    require(segment.file_size <= kernel->size() && segment.file_offset <= kernel->size() - segment.file_size,
            "segments lie in the file");
    end = segment.gpa + segment.memory_size;
  }
  require(image->end >= end && image->begin >= kMiB && image->end <= ram.low_end, "a kernel has its place in RAM");
  if (ram.has_high()) return 0;  // the guest has less than that

  BootFile initrd;
  if (initrd_size) {
    initrd_file.fill({}, initrd_size);
    initrd = std::move(*BootFile::open(initrd_file.path(), "initrd"));
  }
  const LoadFile load = [](uint64_t gpa, int fd, uint64_t offset, uint64_t length) -> sdk::Status {
    const std::span<uint8_t> to = guest.memory().bytes(gpa, length);
    require(to.size() == length, "what is loaded is loaded into RAM");
    if (::pread(fd, to.data(), length, static_cast<off_t>(offset)) != static_cast<ssize_t>(length))
      return sdk::fail("the file is short.");
    return {};
  };
  sdk::Result<LoadedInitrd> loaded = load_kernel(*image, *kernel, initrd, ram, guest.memory(), false, load);
  if (!loaded) {
    fuzz::require_sentence(loaded.error().message);
    return 0;
  }
  if (loaded->size)
    require(loaded->gpa >= kMiB && loaded->gpa + loaded->size <= ram.low_end &&
                (loaded->gpa + loaded->size <= image->begin || loaded->gpa >= image->end),
            "the initrd is clear of the kernel");
  const BootInfo info{command_line, *loaded, ram, flags & 2 ? 0xe0000u : 0u, {}};
  sdk::Result<nacre_x86_state> state = prepare_boot(*image, info, guest.memory());
  if (!state) {
    fuzz::require_sentence(state.error().message);
    return 0;
  }
  require(state->rip >= kMiB && state->rip < ram.low_end, "a kernel is entered in RAM");
  return 0;
}
