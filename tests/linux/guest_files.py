"""The user space of the test guest: an initramfs and an ext4 root disk, both from static busybox and the drivers of a
Debian kernel. Neither needs privileges to make, and the same input gives the same bytes."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import newc

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE / "guest"
BUSYBOX = pathlib.Path("/bin/busybox")
DRIVERS = ("virtio_mmio", "virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "virtio_balloon", "virtio-rng",
           "virtiofs", "virtio_scsi", "vmw_vsock_virtio_transport", "virtio_mem", "virtio_input", "nvme", "evdev",
           "button")
PROGRAM_LINKS = ("bin/sh", "sbin/modprobe")
EPOCH = "1700000000"  # of every file on the disk


def module_tree(kernel):
    """Returns {path from the root: bytes} of the guest's module folder: the drivers, and what modprobe needs."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "lib" / "modules" / kernel.release
        folder.mkdir(parents=True)
        for file in kernel.module_files(*DRIVERS):
            (folder / file.name).write_bytes(file.read_bytes())
        for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
            (folder / name).write_bytes((kernel.modules / name).read_bytes())
        subprocess.run(["/sbin/depmod", "-b", scratch, kernel.release], check=True)
        kept = [*sorted(folder.glob("*.ko")), folder / "modules.dep", folder / "modules.alias"]
        return {str(path.relative_to(scratch)): path.read_bytes() for path in kept}


def program_files(name):
    """Returns the paths of an installed program of that name, of its dynamic loader, and of all libraries it needs, in
    this order. Raises FileNotFoundError where it is not installed."""
    program = shutil.which(name)
    if not program:
        raise FileNotFoundError(f"{name} is not installed: run packaging/install-deps")
    listed = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    libraries = [pathlib.Path(path) for path in re.findall(r"(/\S+) \(0x", listed)]
    libraries.sort(key=lambda path: not path.name.startswith("ld-linux"))
    return [pathlib.Path(program), *libraries]


def _common_programs():
    """Returns {path: bytes} of the programs that the initramfs and the disk share."""
    return {"bin/busybox": BUSYBOX.read_bytes(),
            "lib/functions.sh": (SCRIPTS / "functions.sh").read_bytes(),
            "lib/console": (SCRIPTS / "console").read_bytes(),
            "etc/acpi/PWRF/00000080": (SCRIPTS / "power-button").read_bytes()}


def initramfs(modules):
    """Returns the bytes of the initramfs; `modules` is what module_tree() returned."""
    archive = newc.Archive()
    for name in ("bin", "dev", "proc", "root", "sbin", "sys", "tmp"):
        archive.directory(name)
    archive.character_device("dev/console", 5, 1)
    for name, data in _common_programs().items():
        archive.program(name, data)
    for link in PROGRAM_LINKS:
        archive.symlink(link, "/bin/busybox")
    archive.program("init", (SCRIPTS / "init").read_bytes())
    for name, data in modules.items():
        archive.file(name, data)
    return archive.finish()


def write_tree(root, modules):
    """Fills a root folder with what the root disk has; `modules` is what module_tree() returned."""
    for name in ("bin", "dev", "proc", "root", "run", "sbin", "sys", "tmp", "var"):
        (root / name).mkdir(exist_ok=True)
    for name, data in {**_common_programs(), "sbin/init": (SCRIPTS / "rootfs-init").read_bytes()}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755)
    for link in PROGRAM_LINKS:
        (root / link).symlink_to("/bin/busybox")
    for name, data in modules.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _set_times(root):
    for path in root.rglob("*"):
        os.utime(path, (int(EPOCH), int(EPOCH)), follow_symlinks=False)


def write_ext4(path, root, label, mebibytes):
    """Makes the file `path` an ext4 disk of that size with what is in the folder `root`."""
    _set_times(root)
    with open(path, "wb") as file:
        file.truncate(mebibytes << 20)
    uuid = "6e616372-652d-4775-a573-742d726f6f74"
    # Nothing is left for the guest's kernel to initialise in the background: it would disturb measurements
    extended = f"root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,hash_seed={uuid}"
    subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-L", label, "-U", uuid, "-E",
                    extended, "-d", str(root), str(path)],
                   check=True, env={**os.environ, "E2FSPROGS_FAKE_TIME": EPOCH})


def write_disk(path, modules, mebibytes):
    """Makes the file `path` an ext4 root disk of that size. Raises CalledProcessError where mke2fs refuses it."""
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch) / "root"
        root.mkdir(mode=0o755)
        write_tree(root, modules)
        write_ext4(path, root, "guest-root", mebibytes)


def write_program_disk(path, files):
    """Makes the file `path` an ext4 disk with the program that program_files() found: the program under its own name, its
    loader as "loader", its libraries beside them. In a guest that has mounted it: DIR/loader --library-path DIR DIR/NAME
    runs it. Raises CalledProcessError where mke2fs refuses it."""
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch) / "root"
        root.mkdir(mode=0o755)
        program, loader, *libraries = files
        for file, name in ((program, program.name), (loader, "loader"), *((one, one.name) for one in libraries)):
            shutil.copyfile(file, root / name)
            (root / name).chmod(0o755)
        used = sum(file.stat().st_size for file in root.iterdir())
        write_ext4(path, root, "guest-programs", used * 9 // 8 // (1 << 20) + 8)
