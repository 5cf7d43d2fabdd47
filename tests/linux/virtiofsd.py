"""The daemon that serves a directory of the host's to a vhost-user-fs device."""

import subprocess
import time

from linux_guest import STEP_SECONDS, check

PROGRAM = "/usr/lib/qemu/virtiofsd"


def start(socket, share, log):
    """Serves the directory `share`; returns the process, which listens on `socket`. What it says is in the file `log`."""
    with open(log, "wb") as said:
        daemon = subprocess.Popen([PROGRAM, f"--socket-path={socket}", "-o", f"source={share}", "-o", "sandbox=chroot"],
                                  stdout=said, stderr=said, start_new_session=True)
    deadline = time.monotonic() + STEP_SECONDS
    while not socket.exists():
        check(daemon.poll() is None and time.monotonic() < deadline,
              f"virtiofsd does not listen: {log.read_text(errors='replace')}")
        time.sleep(0.02)
    return daemon


def stop(daemon):
    if daemon.poll() is None:
        daemon.kill()
    daemon.wait()
