"""What the suites of known faults have in common: ../known-faults.md says which fault each case is about."""

import contextlib
import pathlib
import re
import time

import devices
import qtest
from bench import Bench, check

# Networks of kind user come to a machine with one from the start: the sandbox lets it start no programs later.
USER_NETWORKS = ("-netdev", "user,id=first")

TRANSPORTS = ("mmio", "pci")
WALKERS = ("blk", "rng", "balloon", "console", "net")  # of their rings
EVERYONE = (*WALKERS, "fs", "vsock")
GIB = 1 << 30


def every_device(nacre, plugins, try_it, names=WALKERS, transports=TRANSPORTS):
    """try_it(bench) for each device behind each transport; each must work afterwards."""
    for name in names:
        for transport in transports:
            table = Bench(nacre, plugins, devices.ALL[name], transport)
            try:
                try_it(table)
                table.must_work(f"in the end ({name}, {transport})")
                table.vm.check_alive()
            except Exception as error:
                error.add_note(f"{name} behind {transport}: {table.vm.log()}")
                raise
            finally:
                table.close()


def machine(nacre, plugins, *arguments, **more):
    return qtest.Machine(nacre, plugins, arguments, **more)


def status(vm, field):
    """A number of /proc/PID/status: VmRSS in KiB, Threads."""
    text = pathlib.Path(f"/proc/{vm.process.pid}/status").read_text()
    return int(re.search(rf"^{field}:\s*(\d+)", text, re.MULTILINE)[1])


def cpu_seconds(pid):
    return sum(int((task / "schedstat").read_text().split()[0])
               for task in pathlib.Path(f"/proc/{pid}/task").iterdir()) / 1e9


def patience(vm):
    """How much more a program with a sanitizer in it may take."""
    image = pathlib.Path(f"/proc/{vm.process.pid}/exe").read_bytes()
    return 3 if b"__asan_init" in image or b"__tsan_init" in image else 1


@contextlib.contextmanager
def must_not_grow(vm, kib, what):
    """The process has at most so many KiB more in memory, the guest's included, at the end of the block."""
    before = status(vm, "VmRSS")
    yield
    grown = status(vm, "VmRSS") - before
    check(grown < kib * patience(vm) ** 2, f"the machine grew by {grown} KiB for {what}")


def must_idle(vm, what, seconds=0.1):
    """Uses less than 1 % of a CPU while nothing happens. It may be busy at first; a busy loop never ends."""
    for _ in range(5):
        time.sleep(0.03)
        before = cpu_seconds(vm.process.pid)
        time.sleep(seconds)
        used = cpu_seconds(vm.process.pid) - before
        if used < 0.01 * seconds * patience(vm):
            return
    raise AssertionError(f"{what}: {100 * used / seconds:.1f} % of a CPU while nothing happens")


def open_files(vm):
    """What it has open, without what differs from run to run."""
    return sorted(re.sub(r"\d+", "N", name) for name in qtest.open_files(vm.process.pid))
