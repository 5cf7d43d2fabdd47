"""The serial port's other end: input that nobody reads, floods, ends, and an output that is slow."""

import os
import re
import subprocess
import time

from guest_vm import check

LINES = 400


def echo(bench):
    """Every line comes back, in order and once, also when they come faster than the guest reads."""
    with bench.start("test=echo") as guest:
        guest.until(r"^ECHO ready$")
        lines = [f"{number:04d} {'x' * (number % 50)}" for number in range(LINES)]
        guest.type("".join(line + "\n" for line in lines) + "quit\n")
        guest.results(40)
        echoed = re.findall(r"^ECHO (\d{4}.*)$", guest.console, re.MULTILINE)
        first = next((pair for pair in zip(lines, echoed) if pair[0] != pair[1]), ("", ""))
        check(echoed == lines, f"{len(lines)} lines went in, {len(echoed)} came back; the first difference is "
                               f"{first[0]!r} and {first[1]!r}")


def _resident_kib(guest):
    return guest.memory()["Rss"]


def flood_that_nobody_reads(bench):
    """1 MB of input for a guest that does not read: the VMM takes little of it and waits."""
    with bench.start("test=spin every=20000") as guest:
        guest.until(r"^TICK 3$")
        before = _resident_kib(guest)
        pipe = guest.process.stdin.fileno()
        os.set_blocking(pipe, False)
        left, deadline = 1 << 20, time.monotonic() + 1.5
        while left and time.monotonic() < deadline:
            try:
                left -= os.write(pipe, b"x" * min(left, 4096))
            except BlockingIOError:
                time.sleep(0.02)
        grown = _resident_kib(guest) - before
        check(grown < 512 * bench.patience ** 2, f"the VMM grew by {grown} KiB under input that nobody reads")
        guest.check_alive()
        guest.terminate()


def _main_thread_seconds(guest):
    pid = guest.process.pid
    with open(f"/proc/{pid}/task/{pid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def input_ends(bench):
    """At the end of its input the VMM goes on, without spinning on it."""
    with bench.start("test=spin every=20000") as guest:
        guest.until(r"^TICK 1$")
        guest.process.stdin.close()
        guest.check_alive()
        before = _main_thread_seconds(guest)
        time.sleep(0.5)
        used = _main_thread_seconds(guest) - before
        check(used < 0.15, f"the main thread used {used:.2f} s of CPU in half a second after the end of its input")
        guest.terminate()


def no_input_at_all(bench):
    for source in ("/dev/null", None):
        argv = [str(word) for word in bench.arguments("test=identity")]
        prefix = [] if source else ["sh", "-c", 'exec "$@" <&-', "sh"]
        done = subprocess.run(prefix + argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=bench.seconds(20))
        check(done.returncode == 0 and "DONE 1 0" in done.stdout,
              f"with standard input {source or 'closed'}: exit status {done.returncode}: {done.stdout}{done.stderr}")


def slow_output(bench):
    """An output pipe that nobody reads for a while stops neither QMP nor, for good, the guest."""
    with bench.start("test=spin every=50") as guest, guest.connect() as qmp:
        before = _resident_kib(guest)
        for _ in range(10):
            time.sleep(0.2)
            started = time.monotonic()
            qmp.execute("query-status")
            check(time.monotonic() - started < bench.seconds(0.5), "QMP waits for the serial port's output")
        check(_resident_kib(guest) - before < 512 * bench.patience ** 2, "output that nobody reads is collected in the VMM's memory")
        qmp.execute("stop")
        qmp.execute("cont")
        guest.check_alive()
        guest.terminate()


def end_with_full_output(bench):
    """A VMM whose output pipe is full and unread can still be ended."""
    with bench.start("test=spin every=1") as guest, guest.connect() as qmp:
        time.sleep(2)
        qmp.execute("quit")
        guest.process.wait(bench.seconds(5))
        check(guest.process.returncode == 0, f"exit status {guest.process.returncode}")


CASES = [echo, flood_that_nobody_reads, input_ends, no_input_at_all, slow_output, end_with_full_output]
