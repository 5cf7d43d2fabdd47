"""Disks that firmware starts from: FAT by mtools, GRUB for both kinds of firmware."""

import os
import struct
import subprocess

SECTOR = 512
PARTITION = 2048  # where the partition begins; GRUB for a BIOS is before it
EFI_SYSTEM = 0xEF
GRUB = "/usr/lib/grub"
MODULES = "boot echo fat linux normal part_msdos search search_fs_file serial terminal"
CONFIGURATION = """serial --unit=0 --speed=115200
terminal_output serial
echo "grub on $grub_platform"
search --no-floppy --file --set=root /vmlinuz
linux /vmlinuz console=ttyS0 reboot=t panic=1 quiet
initrd /initramfs
echo "kernel and initramfs are read"
"""


def _run(*words):
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "MTOOLS_SKIP_CHECK": "1"})


def write_fat(path, mebibytes, files, offset=0):
    """Makes a FAT file system of that size, `offset` bytes into the image, with `files`, {path in it: path here}."""
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.truncate(offset + (mebibytes << 20))
    image = f"{path}@@{offset}"
    _run("mformat", "-i", image, "-T", (mebibytes << 20) // SECTOR, "-h", 255, "-s", 63, "::")
    made = set()
    for inside, here in files.items():
        folders = inside.split("/")[:-1]
        for depth in range(1, len(folders) + 1):
            folder = "/".join(folders[:depth])
            if folder not in made:
                _run("mmd", "-i", image, f"::{folder}")
                made.add(folder)
        _run("mcopy", "-i", image, here, f"::{inside}")


def _grub(directory, target, output, modules, last=""):
    configuration = directory / "grub.cfg"
    configuration.write_text(CONFIGURATION + last)
    _run("grub-mkstandalone", "-O", target, "-o", output, "--fonts=", "--locales=", "--themes=",
         f"--install-modules={modules}", f"--modules={modules}", f"boot/grub/grub.cfg={configuration}")


def write_grub_disk(directory, vmlinuz, initramfs):
    """Makes directory/grub.img: GRUB in EFI's place for removable media and in a BIOS's, and the kernel for it.

    From a BIOS it reads the kernel and stays: SeaBIOS leaves the 8254 and the 8259 on, with vectors of real mode, and
    Linux never touches them where ACPI is hardware-reduced, as this machine's is, so that their first interrupt comes as
    a double fault.
    """
    image, efi, core = directory / "grub.img", directory / "grub.efi", directory / "core.img"
    _grub(directory, "x86_64-efi", efi, MODULES, "boot\n")
    _grub(directory, "i386-pc", core, f"{MODULES} biosdisk")
    write_fat(image, 48, {"EFI/BOOT/BOOTX64.EFI": efi, "vmlinuz": vmlinuz, "initramfs": initramfs}, PARTITION * SECTOR)
    code = open(f"{GRUB}/i386-pc/boot.img", "rb").read()
    core_bytes = core.read_bytes()
    if len(core_bytes) > (PARTITION - 1) * SECTOR:
        raise ValueError(f"GRUB for a BIOS has {len(core_bytes)} bytes, more than are before the partition")
    # The partition table: one entry, active; addresses by sector number only (cylinders at their end)
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", EFI_SYSTEM, b"\xfe\xff\xff", PARTITION, (48 << 20) // SECTOR)
    with open(image, "r+b") as file:
        file.write(code[:440] + b"\0" * 6 + entry + b"\0" * 48 + b"\x55\xaa" + core_bytes)
    for path in (efi, core, directory / "grub.cfg"):
        path.unlink()
