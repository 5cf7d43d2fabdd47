"""Many VMMs on one host."""

import contextlib
import re
import subprocess
import time

import figures
import qmp_client
from guest_vm import check


def _private_kib(pid):
    """Returns KiB of memory that would be free without the process."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(value) for value in re.findall(r"^Private_\w+: +(\d+) kB$", file.read(), re.MULTILINE))


def two_hundred_at_once(bench):
    """200 guests that share a read-only disk: all start, all answer while the others are there, all end in order."""
    count = 200 if bench.patience == 1 else 12  # a sanitizer's shadow is larger than the guest
    disk = bench.disk("shared.img")
    with contextlib.ExitStack() as stack:
        guests, started, begin = [], {}, time.monotonic()
        for number in range(count):
            console, socket = bench.scratch / f"console-{number}", bench.scratch / f"{number}.sock"
            argv = [str(word).replace(str(bench.qmp_path), str(socket)) for word in bench.arguments(
                "test=identity exit=halt", disk=disk, drive="direct=off,readonly=on", serial=f"file,path={console}")]
            process = stack.enter_context(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE))
            stack.callback(process.kill)
            guests.append((process, console, socket))
            started[console] = time.monotonic()
        deadline = begin + bench.seconds(120)
        starts = {}  # console -> seconds from its VMM's start to its guest's end
        while len(starts) < count:
            for process, console, _ in guests:
                if console not in starts and console.exists() and b"DONE 1 0" in console.read_bytes():
                    starts[console] = time.monotonic() - started[console]
                check(process.poll() is None, f"one ended: {process.poll()}")
            check(time.monotonic() < deadline, "not all guests have come as far as their end")
            time.sleep(0.02)
        took = time.monotonic() - begin
        private = []
        for process, _, socket in guests:
            with qmp_client.Qmp(socket, timeout=bench.seconds(10)) as qmp:
                check(qmp.execute("query-status")["running"], "a guest does not run")
                private.append(_private_kib(process.pid))
                qmp.execute("quit")
        for process, _, socket in guests:
            check(process.wait(bench.seconds(10)) == 0, f"one ended with {process.returncode}")
            check(not socket.exists(), "a QMP socket is left behind")
        figures.tell("load", "two_hundred_at_once", count, f"guests: all have run {took:.1f} s after the first start; each "
                     f"after its own: median {sorted(starts.values())[count // 2]:.2f} s, most {max(starts.values()):.2f} s; private "
                     f"memory each, guest's included: median {sorted(private)[count // 2]} KiB, most {max(private)} KiB")


CASES = [two_hundred_at_once]
