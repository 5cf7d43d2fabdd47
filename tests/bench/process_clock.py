"""Starting a VMM and reading the clocks of its first moments."""

import os
import select
import socket
import subprocess
import time


class Hung(Exception):
    """What was waited for did not come in time; the text says what."""


def cpu_seconds(pid):
    """Returns the CPU time of all threads of the process, those that have ended included."""
    # CPUCLOCK_SCHED of a process, as clock_getcpuclockid(3) makes it
    return time.clock_gettime(~pid << 3 | 2)


def start(command, **streams):
    """Starts a program, its console on pipes; returns (process, when)."""
    settings = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "close_fds": False,
                **streams}
    when = time.monotonic()
    return subprocess.Popen(command, **settings), when


def end(process):
    process.kill()
    process.communicate()


def _connect(path, process, deadline):
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(os.fspath(path))
            return connection
        except OSError:
            connection.close()
            if process.poll() is not None:
                raise Hung(f"it ended with status {process.returncode}: "
                           f"{process.stdout.read().decode(errors='replace').strip()[-300:]}") from None
            if time.monotonic() > deadline:
                raise Hung("no QMP socket") from None
            time.sleep(0.0002)


def greeting(command, qmp, limit=10):
    """Returns (CPU s, wall s) from the start to the first byte of the QMP greeting."""
    process, when = start(command)
    try:
        with _connect(qmp, process, when + limit) as connection:
            connection.settimeout(limit)
            if not connection.recv(1):
                raise Hung("no greeting")
            wall = time.monotonic() - when
            return cpu_seconds(process.pid), wall
    finally:
        end(process)


def first_output(command, text, limit=10):
    """Returns the wall time in s from the start to `text` (bytes) as the first bytes on the console."""
    process, when = start(command)
    seen = b""
    try:
        while len(seen) < len(text):
            if not select.select([process.stdout], [], [], limit)[0]:
                raise Hung("no byte on the serial port")
            chunk = os.read(process.stdout.fileno(), 4096)
            seen += chunk
            if not chunk or not seen.startswith(text[:len(seen)]):
                said = (seen or b"nothing")[:300].decode(errors="replace")
                raise Hung(f"the first output is not the guest's: {said}")
            if len(seen) == len(chunk):
                wall = time.monotonic() - when
        return wall
    finally:
        end(process)
