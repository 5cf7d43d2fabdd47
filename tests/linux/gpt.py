"""Disk images with a GUID partition table (UEFI 2.10 §5.3)."""

import struct
import uuid
import zlib

SECTOR = 512
FIRST = 2048  # where the first partition may begin; each begins at a multiple of it
ENTRIES, ENTRY = 128, 128  # of the table, and bytes of each
TABLE_SECTORS = ENTRIES * ENTRY // SECTOR
EFI_SYSTEM = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")
BIOS_BOOT = uuid.UUID("21686148-6449-6e6f-744e-656564454649")
LINUX_ROOT_X86_64 = uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709")
NAMES = uuid.UUID("6e616372-652d-4775-a573-742d6469736b")  # of the GUIDs of a disk and its partitions


def _header(at, other, table, last, entries):
    def packed(checksum):
        return struct.pack("<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, checksum, 0, at, other, FIRST,
                           last, uuid.uuid5(NAMES, "disk").bytes_le, table, ENTRIES, ENTRY, zlib.crc32(entries))
    return packed(zlib.crc32(packed(0))).ljust(SECTOR, b"\0")


def places(lengths):
    """The first sector of each partition, given their lengths in sectors, and the number of sectors of the disk."""
    starts, at = [], FIRST
    for length in lengths:
        starts.append(at)
        at += -(-length // FIRST) * FIRST
    return starts, at + FIRST


def write_table(path, partitions, boot_code=b""):
    """Makes the file `path` a disk with partitions (type, name, sectors), as places() has them, whose content is the
    caller's to write; `boot_code` is what a BIOS starts. A BIOS finds one partition, which takes all (§5.2.3)."""
    starts, sectors = places([length for _, _, length in partitions])
    entries = b"".join(struct.pack("<16s16sQQQ72s", kind.bytes_le, uuid.uuid5(NAMES, name).bytes_le, start,
                                   start + length - 1, 0, name.encode("utf-16-le"))
                       for (kind, name, length), start in zip(partitions, starts))
    entries = entries.ljust(ENTRIES * ENTRY, b"\0")
    protective = struct.pack("<B3sB3sII", 0, b"\0\2\0", 0xee, b"\xff\xff\xff", 1, sectors - 1)
    last = sectors - TABLE_SECTORS - 2
    with open(path, "wb") as file:
        file.truncate(sectors * SECTOR)
        file.write(boot_code[:440].ljust(446, b"\0") + protective + bytes(48) + b"\x55\xaa")
        file.write(_header(1, sectors - 1, 2, last, entries) + entries)
        file.seek((sectors - TABLE_SECTORS - 1) * SECTOR)
        file.write(entries + _header(sectors - 1, 1, sectors - TABLE_SECTORS - 1, last, entries))
