"""What the cases share: how a bare-metal guest is started under Nacre, watched and ended."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "linux"), str(TESTS)]
import qmp_client  # noqa: E402
import vmm  # noqa: E402

MEMORY_MIB = 128  # the least that the command line takes
DISK_BYTES = 8 << 20
SERIAL = "bare-disk-1"
SECTOR_BYTES = 512
# Ports of the machine microvm: ACPI's sleep control register and its reset register, which takes 1
SLEEP_PORT = 0x600
RESET_PORT = 0x602


class Bench:
    """Where one case runs: the programs, and directories of its own that go when the case ends."""

    def __init__(self, nacre, plugins, guests):
        self.nacre = pathlib.Path(nacre).resolve()
        self.plugins = pathlib.Path(plugins).resolve()
        self.guests = pathlib.Path(guests).resolve()
        image = self.nacre.read_bytes()
        # Instrumented code is several times slower, and so is all that waits for it
        self.patience = 3 if b"__asan_init" in image or b"__tsan_init" in image else 1
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="baremetal-"))
        # Images in the build tree, for O_DIRECT, which a /tmp in memory refuses; sockets in /tmp, whose paths are short
        self.disks = pathlib.Path(tempfile.mkdtemp(prefix="disks-", dir=self.guests))

    def close(self):
        shutil.rmtree(self.scratch, ignore_errors=True)
        shutil.rmtree(self.disks, ignore_errors=True)

    def seconds(self, seconds):
        return seconds * self.patience

    def disk(self, name="disk.img", size=DISK_BYTES):
        """Makes a disk image full of a known byte; returns its path."""
        path = self.disks / name
        path.write_bytes(b"\x5a" * size)
        return path

    def arguments(self, words, *, elf="baremetal.elf", cpus=1, machine="microvm", drive="direct=off", device="",
                  disk=None, serial="stdio", more=()):
        """Returns the command line of a guest with one disk, a serial port and a QMP socket at `qmp_path`."""
        if disk is None:
            disk = self.disks / "disk.img"
            if not disk.exists():
                self.disk()
        timeout = 10000 * self.patience
        kernel = elf if os.path.isabs(elf) else self.guests / elf
        return [self.nacre, "-machine", machine, "-smp", cpus, "-m", f"{MEMORY_MIB}M", "-kernel", kernel,
                "-append", f"timeout={timeout} {words}",
                "-drive", f"id=rootfs,file={disk},{drive}",
                "-device", f"virtio-blk-device,drive=rootfs,id=rootfs{',' if device else ''}{device}",
                "-qmp", f"unix:{self.qmp_path},server,nowait", "-serial", serial,
                "-plugin-dir", self.plugins, *more]

    @property
    def qmp_path(self):
        return self.scratch / "qmp.sock"

    def start(self, words, **options):
        """Starts a guest; the options are those of arguments(). Use it in a `with`."""
        return self.run(self.arguments(words, **options))

    def run(self, arguments):
        """The same with a whole command line."""
        return Guest(self, arguments)


class Guest(vmm.Vmm):
    """A running bare-metal guest."""

    def __init__(self, bench, argv):
        self.bench = bench
        # The VMM's own words apart: its warnings would break the console's lines
        self._log_path = bench.scratch / "nacre.log"
        super().__init__(argv, log=self._log_path)

    @property
    def log(self):
        """What the VMM said on standard error."""
        return self._log_path.read_text(errors="replace")

    def _failure(self, sentence, kind=vmm.VmmFailure):
        shown = "\n".join(f"  | {line}" for line in self.log.strip().splitlines()[-10:]) or "  | (nothing)"
        return kind(f"{super()._failure(sentence, kind)}\n  the VMM said:\n{shown}")

    def connect(self, negotiate=True):
        """Returns a new QMP connection. Raises QmpFailure where the VMM ends before it has its socket."""
        return qmp_client.Qmp(self.bench.qmp_path, timeout=self.bench.seconds(15), negotiate=negotiate)

    def until(self, pattern, seconds=15):
        return self.wait_for(pattern, self.bench.seconds(seconds))

    def results(self, seconds=30):
        """Waits for the guest's DONE and for the end of the VMM; returns {test: "PASS" | "SKIP"}.

        Raises VmmFailure where a test failed, none passed, or the VMM's exit status is not 0.
        """
        match = self.until(r"^DONE (\d+) (\d+)$", seconds)
        failures = [line for line in self.console.splitlines() if line.startswith("FAIL ")]
        if failures or match[2] != "0":
            raise vmm.VmmFailure("the guest says: " + "; ".join(failures or [match[0]]))
        if match[1] == "0":
            raise self._failure("no test of the guest passed")
        self.wait_exit(self.bench.seconds(10))
        return {name: word for word, name in re.findall(r"^(PASS|SKIP) (\w+)", self.console, re.MULTILINE)}

    def ticks(self):
        """Returns the numbers of all whole TICK lines so far."""
        return [int(number) for number in re.findall(r"^TICK (\d+)\n", self.console, re.MULTILINE)]

    def terminate(self):
        """Ends the VMM in order by SIGTERM. Raises VmmFailure where it does not end with status 0."""
        self.process.terminate()
        self.wait_exit(self.bench.seconds(10))

    def check_alive(self):
        """Raises VmmFailure where the spinning guest does not go on."""
        before = len(self.ticks())
        while len(self.ticks()) == before:
            self.until(r"^TICK \d+$", 5)


def check(condition, sentence):
    if not condition:
        raise AssertionError(sentence)


def sentence_of(errors):
    """Returns the one sentence that a refused start prints. Raises AssertionError where it is not exactly one line."""
    lines = [line for line in errors.splitlines() if line.strip()]
    check(len(lines) == 1, f"standard error is not one sentence but {len(lines)} lines:\n{errors}")
    check(lines[0].startswith("nacre: "), f"the sentence does not begin with the program's name: {lines[0]}")
    return lines[0]


def run_refused(arguments, seconds):
    """Runs a VMM that must refuse to start; returns its sentence. Raises AssertionError for any other end."""
    try:
        done = subprocess.run([str(word) for word in arguments], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", timeout=seconds)
    except subprocess.TimeoutExpired:
        raise AssertionError(f"it started, or hung: no end within {seconds:g} s") from None
    check(done.returncode == 1, f"exit status {done.returncode}, not 1; it said: {done.stderr.strip() or 'nothing'}")
    check(not done.stdout, f"standard output is not empty: {done.stdout[:200]!r}")
    return sentence_of(done.stderr)
