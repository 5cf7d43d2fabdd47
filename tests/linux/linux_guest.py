"""How the suites start Linux guests under Nacre."""

import contextlib
import hashlib
import os
import pathlib
import re
import subprocess

import qmp_client
import vmm
from products import product

# What the stock kernel says under any VMM: of mitigations, of the emulated host's clock
HARMLESS = [
    r"Speculative Return Stack Overflow: .*",
    r"Spectre V2 : .*",
    r"RETBleed: .*",
    r'Unstable clock detected, switching default tracing clock to "global"',
    r"If you want to keep using the local clock, then add:",
    r'  "trace_clock=local"',
    r"on the kernel command line",
]
# The emulated host shows a CPUID leaf 0xD that is not consistent in itself; QEMU's guests there say the same
EMULATED_XSAVE = re.compile(r"-+\[ cut here \]-+\nXSAVE consistency problem.*?\n---\[ end trace \w+ \]---\n"
                            r"(?:CPUID\[0d, \w+\]: .*\n)+", re.DOTALL)

BOOT_SECONDS = 60
END_SECONDS = 30
STEP_SECONDS = 20


def check(condition, sentence):
    if not condition:
        raise AssertionError(sentence)


def refuses(qmp, command, arguments, words):
    """Has a QMP command refused in a sentence with these words."""
    try:
        qmp.execute(command, arguments)
    except qmp_client.QmpError as error:
        check(words in error.description, f"{command} says: {error}")
        return
    check(False, f"{command} {arguments} is no error")


def exchange(guest, request, *answers):
    """Sends the request, as the guides write it, and compares every message that comes back, field by field. That a plugin
    was loaded for it, which the guides do not know of, may be told in between."""
    guest.qmp.send(request.encode() + b"\r\n")
    for expected in answers:
        message = guest.qmp.receive(STEP_SECONDS)
        while message.get("event") == "PLUGIN_LOADED":
            message = guest.qmp.receive(STEP_SECONDS)
        stamp = message.pop("timestamp", None)
        check(message == expected, f"{request} was answered by {message}, not {expected}")
        check((stamp is not None) == ("event" in expected), f"{message}: timestamp {stamp}")
        check(stamp is None or set(stamp) == {"seconds", "microseconds"}, f"timestamp {stamp}")


def md5(path, count=None):
    with open(path, "rb") as file:
        return hashlib.md5(file.read(count)).hexdigest()


def held(pid):
    """What the process holds: descriptors, threads, mappings."""
    descriptors = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            descriptors.append(re.sub(r"\d+", "N", os.readlink(f"/proc/{pid}/fd/{fd}")))
    descriptors.sort()
    mappings = len(pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines())
    return descriptors, len(os.listdir(f"/proc/{pid}/task")), mappings


@contextlib.contextmanager
def ext4(bench):
    """A directory on ext4, which does direct I/O; a temporary directory in memory does not."""
    backing, mounted = bench.scratch / "ext4.img", bench.scratch / "ext4"
    with open(backing, "wb") as file:
        file.truncate(64 << 20)
    mounted.mkdir()
    subprocess.run(["/sbin/mke2fs", "-q", "-t", "ext4", str(backing)], check=True)
    subprocess.run(["mount", "-o", "loop", str(backing), str(mounted)], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)


class Bench:
    """Where one case runs: the program under test and a directory of its own."""

    def __init__(self, nacre, plugins, scratch):
        self.nacre = pathlib.Path(nacre).resolve()
        self.plugins = pathlib.Path(plugins).resolve()
        self.scratch = pathlib.Path(scratch)
        self.qmp_path = self.scratch / "qmp.sock"
        self.descriptors = ()  # what the VMM inherits
        self.memory = "256M"  # of the guests

    def run(self, case):
        case(self)

    def close(self):
        """Ends what the cases left running: nothing, each ends its own guest."""

    def root_disk(self):
        """Makes a root disk; returns its path."""
        path = self.scratch / "root.img"
        subprocess.run(["cp", "--sparse=always", product("guest-image", "disk"), path], check=True)
        return path

    def empty_disk(self, name, mebibytes):
        path = self.scratch / name
        with open(path, "wb") as file:
            file.truncate(mebibytes << 20)
        return path

    def disk(self, name, path, drive="", device=""):
        """Returns the arguments that add a disk."""
        return ["-drive", f"id={name},file={path},direct=off{drive and ',' + drive}",
                "-device", f"virtio-blk-device,drive={name},id={name}{device and ',' + device}"]

    def stock(self, form, command_line, more=(), cpus=1, machine="microvm", flavour="cloud"):
        """Starts the stock Debian kernel of a flavour, as "vmlinux" or "vmlinuz", with the initramfs."""
        which = [] if flavour == "cloud" else ["--flavour", flavour]
        kernel, initramfs = (product("guest-image", file, *which) for file in (form, "initramfs"))
        return self._start(kernel, command_line, cpus, machine, ["-initrd", initramfs, *more])

    def strato(self, form, command_line, more=(), cpus=1, machine="microvm"):
        """Starts a kernel of StratoVirt's kind, as "vmlinux", "vmlinux.bin" or "bzImage"."""
        return self._start(product("build-strato-kernel", form), command_line, cpus, machine, more)

    def arguments(self, kernel, command_line, cpus, machine, more):
        """Returns the command line."""
        return [self.nacre, "-machine", machine, "-smp", cpus, "-m", self.memory, "-kernel", kernel,
                "-append", f"console=ttyS0 reboot=t panic=1 quiet {command_line}",
                "-qmp", f"unix:{self.qmp_path},server,nowait", "-serial", "stdio", "-plugin-dir", self.plugins, *more]

    def _start(self, kernel, command_line, cpus, machine, more):
        self.qmp_path.unlink(missing_ok=True)
        return Guest(self, self.arguments(kernel, command_line, cpus, machine, more))

    def from_file(self, path):
        """Starts what the configuration file says, which has been made of a command line."""
        self.qmp_path.unlink(missing_ok=True)
        return Guest(self, [self.nacre, "-config", path])


class Guest(vmm.Vmm):
    """A running Linux guest with its QMP connection, which is made at once."""

    def __init__(self, bench, argv):
        # The VMM's own words apart: its warnings would break the console's lines
        self._log_path = bench.scratch / "nacre.log"
        super().__init__(argv, log=self._log_path, descriptors=bench.descriptors)
        try:
            self.qmp = qmp_client.Qmp(bench.qmp_path, timeout=END_SECONDS)
        except qmp_client.QmpFailure as failure:
            self.stop()
            raise self._failure(str(failure)) from failure

    def _failure(self, sentence, kind=vmm.VmmFailure):
        said = self._log_path.read_text(errors="replace").strip().splitlines()[-10:]
        shown = "\n".join(f"  | {line}" for line in said) or "  | (nothing)"
        return kind(f"{super()._failure(sentence, kind)}\n  the VMM said:\n{shown}")

    def __exit__(self, _kind=None, error=None, _trace=None):
        try:
            self.blame(error)
        finally:
            self.qmp.close()
            self.stop()

    def blame(self, error):
        """Raises GuestLost where `error`, if any, comes of a guest that has ended itself, as by a triple fault."""
        if isinstance(error, Exception):
            try:
                ended = self.process.wait(1) == 0
            except subprocess.TimeoutExpired:
                ended = False
            if ended:
                raise self._failure(f"the guest has ended itself, unasked ({error})", vmm.GuestLost) from error

    def says(self, text, seconds=BOOT_SECONDS):
        """Waits for a whole line of the guest's own, a regular expression; returns the match."""
        return self.wait_for(rf"^(?:guest# )*nacre-guest: {text}$", seconds)  # a prompt may be before it

    def check_log(self, harmless=()):
        """Fails where the kernel warns of anything but what is known, or in `harmless`: regular expressions."""
        text = self.command("dmesg -r | grep '^<[0-4]>' || true")
        text = "".join(re.sub(r"^<\d+>\[ *[\d.]+\] ", "", line) + "\n" for line in text.splitlines())
        if os.environ.get("HOSTVM"):
            text = EMULATED_XSAVE.sub("", text)
        known = [*HARMLESS, *harmless]
        bad = [line for line in text.splitlines() if not any(re.fullmatch(one, line) for one in known)]
        check(not bad, "the kernel warns:\n" + "\n".join(f"  | {line}" for line in bad))

    def wait_power_off(self):
        """Waits until the guest has ended itself: SHUTDOWN with guest true, and exit status 0."""
        data = self.qmp.wait_event("SHUTDOWN", BOOT_SECONDS)["data"]
        check(data == {"guest": True, "reason": "guest-shutdown"}, f"SHUTDOWN says {data}")
        self.wait_exit(END_SECONDS)

    def quit(self):
        """Ends the VMM over QMP."""
        self.qmp.execute("quit")
        data = self.qmp.wait_event("SHUTDOWN")["data"]
        check(data == {"guest": False, "reason": "host-qmp-quit"}, f"SHUTDOWN says {data}")
        self.wait_exit(END_SECONDS)
