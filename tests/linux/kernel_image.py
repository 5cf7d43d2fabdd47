"""Takes the uncompressed kernel (ELF vmlinux) out of a bzImage (Linux Documentation/x86/boot.rst)."""

import lzma
import struct
import subprocess

LZ4_LEGACY_MAGIC = b"\x02\x21\x4c\x18"
XZ_MAGIC = b"\xfd7zXZ\0"


class NotAKernel(Exception):
    """The file is no bzImage, or is compressed in a way that is not handled; the text says which."""


def _payload(image):
    if image[0x202:0x206] != b"HdrS":
        raise NotAKernel("the file has no bzImage header")
    setup_size = ((image[0x1F1] or 4) + 1) * 512
    offset, length = struct.unpack_from("<II", image, 0x248)
    return image[setup_size + offset:setup_size + offset + length]


def vmlinux(image):
    """Returns the ELF file inside `image`, the bytes of a bzImage compressed with LZ4 or XZ. Raises NotAKernel."""
    payload = _payload(image)
    compressed = payload[:-4]  # the last word is the uncompressed size, for the kernel's own decompressor
    if payload.startswith(LZ4_LEGACY_MAGIC):
        elf = subprocess.run(["lz4", "-dc"], input=compressed, capture_output=True, check=True).stdout
    elif payload.startswith(XZ_MAGIC):
        elf = lzma.LZMADecompressor().decompress(compressed)
    else:
        raise NotAKernel(f"the kernel's compression (it begins with {payload[:4].hex(' ')}) is not LZ4 or XZ")
    if not elf.startswith(b"\x7fELF") or len(elf) != struct.unpack("<I", payload[-4:])[0]:
        raise NotAKernel("what is inside the bzImage is not a whole ELF file")
    return elf
