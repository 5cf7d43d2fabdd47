"""Disks that firmware starts from: FAT by mtools, GRUB for both kinds of firmware, a Debian user land."""

import os
import pathlib
import shutil
import struct
import subprocess
import tempfile

import gpt
import guest_files

SECTOR = 512
GRUB = pathlib.Path("/usr/lib/grub")
MODULES = "boot configfile echo ext2 fat linux normal part_gpt part_msdos search search_label serial terminal"
LABEL = "debian-root"
CONSOLE = "serial --unit=0 --speed=115200\nterminal_output serial\n"
# In GRUB itself, and on the root partition. How to restart and to end is left to the kernel.
SEARCH = f"search --no-floppy --label --set=root {LABEL}\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n"
MENU = CONSOLE + """echo "grub on $grub_platform"
linux /boot/vmlinuz root=/dev/vda3 console=ttyS0 panic=1 quiet
initrd /boot/initramfs
echo "kernel and initramfs are read"
boot
"""
# What of Debian the root partition has, as it is installed here, beside the guest's busybox
PACKAGES = ("base-files", "bash", "coreutils", "dash", "grep", "libacl1", "libattr1", "libc6", "libgmp10", "libpcre2-8-0",
            "libselinux1", "libtinfo6", "sed")
WITHOUT = ("/usr/share/doc", "/usr/share/man", "/usr/share/info", "/usr/share/locale", "/usr/share/lintian",
           "/usr/lib/x86_64-linux-gnu/gconv")
MERGED = ("bin", "lib", "lib64", "sbin")  # links into /usr
EFI_MEBIBYTES, ROOT_MEBIBYTES = 8, 96


def _run(*words):
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "MTOOLS_SKIP_CHECK": "1"})


def write_fat(path, mebibytes, files, offset=0):
    """Makes a FAT file system of that size, `offset` bytes into the image, with `files`, {path in it: path here}."""
    with open(path, "r+b" if path.exists() else "wb") as file:
        file.truncate(max(offset + (mebibytes << 20), path.stat().st_size))
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


def _grub(output, target, modules, configuration):
    """Makes GRUB for a kind of firmware, which does at first what the configuration says."""
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(configuration)
        file.flush()
        _run("grub-mkimage", "-O", target, "-o", output, "-c", file.name, "-p", "/boot/grub", *modules.split())
    return output


def package_versions():
    """A line for each of the packages, for a digest. Raises CalledProcessError where one is not installed."""
    return subprocess.run(["dpkg-query", "-W", *PACKAGES], check=True, stdout=subprocess.PIPE, text=True).stdout


def _install(root):
    """Copies the files of the packages, as their links and modes are, into a root with the links of MERGED."""
    listed = subprocess.run(["dpkg-query", "-L", *PACKAGES], check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in sorted({line for line in listed.splitlines() if line.startswith("/")}):
        here, there = pathlib.Path(name), root / name[1:]
        if name.startswith(WITHOUT) or not os.path.lexists(here):
            continue
        if here.is_dir() and not here.is_symlink():
            there.mkdir(parents=True, exist_ok=True)
        elif not os.path.lexists(there):
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(here, there, follow_symlinks=False)


def _write_root(path, modules, vmlinuz, initramfs):
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch) / "root"
        (root / "usr").mkdir(parents=True)
        root.chmod(0o755)
        for name in MERGED:
            (root / "usr" / name).mkdir()
            (root / name).symlink_to(f"usr/{name}")
        guest_files.write_tree(root, modules)
        _install(root)
        (root / "boot" / "grub").mkdir(parents=True)
        (root / "boot" / "grub" / "grub.cfg").write_text(MENU)
        shutil.copyfile(vmlinuz, root / "boot" / "vmlinuz")
        shutil.copyfile(initramfs, root / "boot" / "initramfs")
        guest_files.write_ext4(path, root, LABEL, ROOT_MEBIBYTES)


def write_debian_disk(directory, modules, vmlinuz, initramfs):
    """Makes directory/grub.img, with a GUID partition table: GRUB for a BIOS, GRUB for EFI in the place for removable
    media, and a root partition with Debian's programs, where either finds its menu and the kernel."""
    image, root = directory / "grub.img", directory / "root.img"
    _write_root(root, modules, vmlinuz, initramfs)
    efi = _grub(directory / "grub.efi", "x86_64-efi", MODULES, SEARCH)
    core = bytearray(_grub(directory / "core.img", "i386-pc", f"{MODULES} biosdisk", SEARCH).read_bytes())
    lengths = [-(-len(core) // SECTOR), (EFI_MEBIBYTES << 20) // SECTOR, (ROOT_MEBIBYTES << 20) // SECTOR]
    bios_at, efi_at, root_at = gpt.places(lengths)[0]
    # Where its boot sector finds it, and where its own first sector finds the rest
    boot_code = bytearray((GRUB / "i386-pc" / "boot.img").read_bytes())
    struct.pack_into("<Q", boot_code, 0x5c, bios_at)
    struct.pack_into("<Q", core, 0x1f4, bios_at + 1)
    gpt.write_table(image, list(zip((gpt.BIOS_BOOT, gpt.EFI_SYSTEM, gpt.LINUX_ROOT_X86_64), ("bios", "efi", "root"),
                                    lengths)), bytes(boot_code))
    with open(image, "r+b") as file:
        file.seek(bios_at * SECTOR)
        file.write(core)
    write_fat(image, EFI_MEBIBYTES, {"EFI/BOOT/BOOTX64.EFI": efi}, efi_at * SECTOR)
    _run("dd", f"if={root}", f"of={image}", "bs=1M", f"seek={root_at // 2048}", "conv=notrunc,sparse", "status=none")
    for path in (efi, directory / "core.img", root):
        path.unlink()


def _saying_sector(text):
    """A boot sector that writes the text to the first serial port, and stops."""
    code = bytes.fromhex("31c0 8ed8 be157c ac 84c0 7406 baf803 ee ebf5 f4 ebfd")
    return code + text.encode() + b"\0"


def write_saying_disk(path, name):
    """Makes a disk that says its name when it is started, "sector NAME" by a BIOS and "program NAME" by EFI, and stays
    there."""
    with tempfile.TemporaryDirectory() as scratch:
        efi = _grub(pathlib.Path(scratch) / "grub.efi", "x86_64-efi", "echo normal serial sleep terminal",
                    f'{CONSOLE}echo "program {name}"\nsleep 3600\n')
        write_fat(path, EFI_MEBIBYTES, {"EFI/BOOT/BOOTX64.EFI": efi}, gpt.FIRST * SECTOR)
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0xef, b"\xfe\xff\xff", gpt.FIRST,
                        (EFI_MEBIBYTES << 20) // SECTOR)
    with open(path, "r+b") as file:
        file.write(_saying_sector(f"\r\nsector {name}\r\n").ljust(446, b"\0") + entry + bytes(48) + b"\x55\xaa")
