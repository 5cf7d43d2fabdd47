"""What a process may have of the host's means, set from outside while it runs (prlimit(2))."""

import contextlib
import os
import resource


@contextlib.contextmanager
def limit(pid, kind, value):
    """The process has this limit within the block."""
    soft, hard = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (value, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, (soft, hard))


def descriptors(pid, spare):
    """The limit of descriptors that leaves so many that can be opened."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return [number for number in range(len(used) + spare + 1) if number not in used][spare]
