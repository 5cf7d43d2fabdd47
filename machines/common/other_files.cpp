// What else people give as a kernel, by its first bytes.
#include <algorithm>
#include <string_view>

#include "machines/common/kernel_image.hpp"

namespace nacre::machine {
namespace {

using std::string_view_literals::operator""sv;

struct Magic {
  size_t offset;
  std::string_view bytes;
  const char* is;  // ends the sentence
};

constexpr const char* kUnpack =
    "a compressed file; unpack a kernel first, or give its bzImage, and give an initial file system with -initrd.";

constexpr Magic kMagics[] = {
    {0x38, "ARM\x64"sv, "a kernel image for AArch64, and this machine is x86_64."},
    {0x38, "RSC\x05"sv, "a kernel image for RISC-V, and this machine is x86_64."},
    {0, "\x1f\x8b"sv, kUnpack},          // gzip
    {0, "\xfd\x37zXZ\0"sv, kUnpack},     // xz
    {0, "BZh"sv, kUnpack},               // bzip2
    {0, "\x28\xb5\x2f\xfd"sv, kUnpack},  // zstd
    {0, "\x02\x21\x4c\x18"sv, kUnpack},  // lz4, as kernels are packed
    {0, "\x04\x22\x4d\x18"sv, kUnpack},  // lz4, as files are packed
    {0, "\x5d\x00\x00"sv, kUnpack},      // lzma
    {0, "\x89LZO"sv, kUnpack},           // lzop
    {0, "QFI\xfb"sv, "a qcow2 disk image; give it with -drive."},
    {0, "070701"sv, "a cpio archive; give it with -initrd."},
    {0, "070702"sv, "a cpio archive; give it with -initrd."},
    {0, "hsqs"sv, "a squashfs file system; give it with -drive."},
    {0x438, "\x53\xef"sv, "an ext2, ext3 or ext4 file system; give it with -drive."},
    {0, "#!"sv, "a script."},
    {0, "!<arch>\n"sv, "an archive: a Debian package or a library."},
    {0, "\xed\xab\xee\xdb"sv, "an RPM package."},
    {0, "PK\x03\x04"sv, "a zip archive."},
    {0x101, "ustar"sv, "a tar archive."},
    {0, "\xd0\x0d\xfe\xed"sv, "a device tree."},
    {0, "\x27\x05\x19\x56"sv, "a U-Boot image; give the bzImage or vmlinux that it was made of."},
    {0, "MZ"sv, "a PE (EFI or Windows) program without the Linux boot header."},
};

}  // namespace

std::string describe_other_file(const Bytes& head) {
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  for (const Magic& magic : kMagics)
    if (text.size() >= magic.offset && text.substr(magic.offset).starts_with(magic.bytes)) return magic.is;
  const bool printable = !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t';
  });
  return printable ? "a text file." : "";
}

}  // namespace nacre::machine
