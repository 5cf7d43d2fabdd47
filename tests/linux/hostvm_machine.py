"""The host VM itself: its initramfs, QEMU's command line, and one run of one command in it.

QEMU's TCG emulates AMD's SVM with nested paging, so Debian's generic kernel inside is a complete KVM host on any
machine. The outer machine's root is shared into it read-only: what was built outside runs inside under the same path.
"""

import ctypes
import os
import pathlib
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import cache
import debian_kernel
import kernel_image
import newc

HERE = pathlib.Path(__file__).resolve().parent
BUSYBOX = pathlib.Path("/bin/busybox")
DRIVERS = ("virtio_pci", "virtio_console", "9pnet_virtio", "9p")
COMMON_MODULES = ("kvm-amd",)
# A processor that is stuck for a minute (twice the threshold) is so for good; on a busy machine one may be for half of it.
HOST_COMMAND_LINE = "console=ttyS0 reboot=t panic=1 softlockup_panic=1 watchdog_thresh=30 mitigations=off quiet"
# Guests die of triple faults under TCG's nested paging (see README.md); KVM's own shadow pages cost about as much. Runs
# that measure keep it, since figures measured elsewhere had it.
NO_NESTED_PAGING = "kvm_amd.npt=0"
SILENCE_SECONDS = 60  # a host that gives no sign of life for so long, where it should each second, has locked up
KEPT_VARIABLES = re.compile(r"NACRE_\w+|LANG|LC_\w+|CTEST_\w+|GTEST_\w+|[AUT]\w{1,4}SAN_OPTIONS")


class HostFailure(Exception):
    """The host VM, not the command in it, failed; the text is one line that says why."""


class Options:
    """What to run and on what; see tests/linux/hostvm for the meaning of each."""

    def __init__(self):
        self.command = []
        self.deterministic = False
        self.firmware = False
        self.timeout = 300.0
        self.memory = 6144
        self.cpus = 2
        self.shares = []
        self.environment = {}
        self.modules = []
        self.qemu_arguments = []
        self.kernel_arguments = ""


def _initramfs(kernel):
    """Returns the part of the initramfs that every run shares, from the cache."""
    modules = kernel.module_files(*DRIVERS)

    def make(directory):
        archive = newc.Archive()
        for name in ("bin", "dev", "host", "proc", "sys", "job"):
            archive.directory(name)
        archive.character_device("dev/console", 5, 1)
        archive.program("bin/busybox", BUSYBOX.read_bytes())
        for file in modules:
            archive.file(f"lib/{file.name}", file.read_bytes())
        archive.file("load", "".join(f"{file.name}\n" for file in modules).encode())
        archive.program("init", (HERE / "host" / "init").read_bytes())
        (directory / "initramfs").write_bytes(archive.finish())

    key = cache.digest(HERE / "host", HERE / "newc.py", pathlib.Path(__file__), BUSYBOX, *modules)
    return cache.product(f"hostvm-{kernel.release}-{key}", make) / "initramfs"


def _vmlinux(kernel):
    """Returns the kernel uncompressed, which it would take an emulated processor seconds to do itself; from the cache."""

    def make(directory):
        (directory / "vmlinux").write_bytes(kernel_image.vmlinux(kernel.image.read_bytes()))

    key = cache.digest(HERE / "kernel_image.py", kernel.image)
    return cache.product(f"hostvm-kernel-{kernel.release}-{key}", make) / "vmlinux"


def _paths_under_tmp(options, directory):
    """Returns the paths below /tmp that must still be there inside, where /tmp is fresh: what the command names, and this
    source tree when it is there."""
    words = [directory, str(HERE.parents[1]), *options.command, *options.environment.values()]
    found = {match for word in words for match in re.findall(r"/tmp/[^\s:,=;'\"]+", word)}
    existing = {path.rstrip("/") for path in found if os.path.exists(path)} - set(options.shares)
    return sorted(path for path in existing if not any(path.startswith(other + "/") for other in existing))


def _job(options):
    """Returns the archive with what differs from run to run: the command, where it runs, and what it may see."""
    directory = os.getcwd()
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in options.environment.items())
    command = (f"hostvm_modules={shlex.quote(' '.join([*COMMON_MODULES, *options.modules]))}\n"
               f"hostvm_command() {{\n{exports}cd {shlex.quote(directory)} || exit 125\n"
               f"exec {shlex.join(options.command)}\n}}\n")
    shares = "".join(f"share{number} {path}\n" for number, path in enumerate(options.shares))
    archive = newc.Archive()
    archive.directory("job")
    archive.file("job/session", (HERE / "host" / "session").read_bytes())
    archive.file("job/command", command.encode())
    archive.file("job/binds", "".join(f"{path}\n" for path in _paths_under_tmp(options, directory)).encode())
    archive.file("job/shares", shares.encode())
    return archive.finish()


def _qemu_arguments(options, kernel, scratch):
    accelerator = ["-accel", "tcg,thread=multi", "-smp", str(options.cpus)]
    paging = NO_NESTED_PAGING
    if options.deterministic:
        paging = ""
        accelerator = ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1"]
    arguments = ["qemu-system-x86_64", "-M", "q35,kernel-irqchip=split", *accelerator, "-cpu", "EPYC,+svm,+npt",
                 "-m", str(options.memory), "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
                 "-kernel", str(_vmlinux(kernel)), "-initrd", str(scratch / "initramfs"),
                 "-append", f"{HOST_COMMAND_LINE} {paging} {options.kernel_arguments}",
                 "-serial", f"file:{scratch / 'console'}",
                 "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
                 "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
                 "-device", "virtio-serial-pci",
                 "-chardev", "stdio,id=output,signal=off", "-device", "virtserialport,chardev=output,name=output",
                 "-chardev", f"file,id=status,path={scratch / 'status'}",
                 "-device", "virtserialport,chardev=status,name=status",
                 "-chardev", f"file,id=alive,path={scratch / 'alive'}",
                 "-device", "virtserialport,chardev=alive,name=alive"]
    for number, path in enumerate(options.shares):
        arguments += ["-fsdev", f"local,id=share{number},path={path},security_model=none,multidevs=remap",
                      "-device", f"virtio-9p-pci,fsdev=share{number},mount_tag=share{number}"]
    return arguments + options.qemu_arguments


def _repair():
    """Returns the library that keeps QEMU alive through a fault of its own (see host/emulator.c), from the cache."""
    source = HERE / "host" / "emulator.c"

    def make(directory):
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-I/usr/include/libunwind", "-o", directory / "emulator.so", source,
                        "-lunwind"], check=True)

    return cache.product(f"emulator-{cache.digest(source)}", make) / "emulator.so"


def _die_with_parent():
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _tail(path, count):
    try:
        lines = path.read_text(errors="replace").replace("\r", "").split("\n")
    except OSError:
        return []
    return [line for line in lines if line.strip()][-count:]


def run(options):
    """Runs options.command once in a fresh host VM, its output to our standard output; returns its exit status.

    Raises HostFailure where the machine did not start, did not end within options.timeout seconds, or ended without
    an exit status.
    """
    try:
        kernel = debian_kernel.newest("generic")
        shared = _initramfs(kernel)
        environment = {**os.environ, "LD_PRELOAD": str(_repair())} if options.firmware else None
    except (debian_kernel.KernelMissing, OSError, subprocess.CalledProcessError) as error:
        raise HostFailure(str(error)) from error
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="hostvm-"))
    try:
        (scratch / "initramfs").write_bytes(shared.read_bytes() + _job(options))
        return _run_qemu(options, _qemu_arguments(options, kernel, scratch), scratch, environment)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_qemu(options, arguments, scratch, environment):
    with open(scratch / "qemu-errors", "wb") as errors:
        try:
            # The input is a pipe that nobody writes to: at the end of its input QEMU would close the port
            process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                       preexec_fn=_die_with_parent, env=environment)
        except FileNotFoundError:
            raise HostFailure("qemu-system-x86_64 is not installed; install the package qemu-system-x86") from None
    watch = _Watch(process, options, scratch / "alive")
    try:
        while chunk := os.read(process.stdout.fileno(), 65536):
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        process.wait()
    finally:
        watch.end()
        process.kill()
        process.wait()
    return _status(process.returncode, watch.reason, scratch)


class _Watch(threading.Thread):
    """Kills a host VM that takes too long, or that has locked up, which it does now and then whatever runs in it."""

    def __init__(self, process, options, alive):
        super().__init__(daemon=True)
        self.reason = ""  # why it was killed
        self._process, self._options, self._alive, self._over = process, options, alive, threading.Event()
        self.start()

    def run(self):
        begin = since = time.monotonic()
        signs = 0
        while not self._over.wait(1):
            now = time.monotonic()
            size = self._alive.stat().st_size if self._alive.exists() else 0
            if size != signs:
                signs, since = size, now
            if now - begin > self._options.timeout:
                self.reason = f"the command did not end within {self._options.timeout:g} s"
            elif now - since > SILENCE_SECONDS and not self._options.deterministic:
                self.reason = f"the host VM has given no sign of life for {SILENCE_SECONDS} s"
            if self.reason:
                self._process.kill()
                return

    def end(self):
        self._over.set()
        self.join()


def _status(qemu_status, killed, scratch):
    """Returns the command's exit status, or raises HostFailure with the reason why there is none."""
    try:
        return int((scratch / "status").read_text())
    except (OSError, ValueError):
        pass
    console = _tail(scratch / "console", 3)
    last = f"; its console ended with: {' | '.join(console)}" if console else "; its console is empty"
    if killed:
        raise HostFailure(killed + last)
    errors = (scratch / "qemu-errors").read_text(errors="replace").strip().replace("\n", " | ")
    if qemu_status != 0:
        raise HostFailure(f"QEMU ended with status {qemu_status}: {errors or 'it gave no reason'}")
    raise HostFailure(f"the host VM ended before the command did{last}")
