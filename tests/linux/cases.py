"""Runs the cases of a test of Linux guests: on this machine's KVM where it runs stock kernels, else in a host VM.

    CASES = []
    @cases.case(CASES)
    def one(bench): ...

    sys.exit(cases.main(__file__, __doc__, CASES, limit_seconds=200))

The script's arguments are `NACRE_BINARY PLUGIN_DIR [CASE ...]`, or `--list`.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

import qmp_client
import vmm
from microvm_guest import Bench, product

HERE = pathlib.Path(__file__).resolve().parent
EXPECTED = (vmm.VmmFailure, qmp_client.QmpFailure, qmp_client.QmpError, AssertionError)
BROKEN = (OSError, subprocess.SubprocessError, KeyError, ValueError, IndexError, TypeError)


def case(listed):
    """Returns the decorator that adds a function to the list of cases."""

    def add(function):
        listed.append(function)
        return function

    return add


def _run(function, programs, prefix):
    """Runs one case, once more where its guest hung; returns "" or why it failed."""
    for is_last in (False, True):
        with tempfile.TemporaryDirectory(prefix=f"{prefix}-") as scratch:
            try:
                function(Bench(*programs, scratch))
                return ""
            except vmm.VmmTimeout as hang:
                if is_last:
                    return str(hang)
                print(f"{function.__name__}: hung, once more: {hang}", flush=True)
            except EXPECTED as failure:
                return str(failure) or traceback.format_exc()
            except BROKEN:
                return traceback.format_exc()


def _run_all(name, listed, programs):
    """Runs the cases here; returns the exit status."""
    failed = 0
    for function in listed:
        started = time.monotonic()
        failure = _run(function, programs, name)
        failed += bool(failure)
        print(f"{'FAIL' if failure else 'PASS'} {function.__name__} ({time.monotonic() - started:.1f} s)"
              f"{': ' + failure if failure else ''}", flush=True)
    print(f"{name}: {len(listed) - failed} of {len(listed)} passed")
    return 1 if failed else 0


def main(script, text, listed, limit_seconds, modules=()):
    """Does what the command line asks for; returns the exit status. `modules` are loaded in a host VM."""
    script = pathlib.Path(script).resolve()
    if sys.argv[1:] == ["--list"]:
        print("\n".join(function.__name__ for function in listed))
        return 0
    inside = sys.argv[1:2] == ["--inside"]
    words = sys.argv[2:] if inside else sys.argv[1:]
    if len(words) < 2:
        print(text, file=sys.stderr)
        return 2
    programs, wanted = words[:2], words[2:]
    unknown = set(wanted) - {function.__name__ for function in listed}
    if unknown:
        print(f"{script.name}: no case {', '.join(sorted(unknown))}; --list names them", file=sys.stderr)
        return 2
    if inside:
        return _run_all(script.name, [one for one in listed if not wanted or one.__name__ in wanted], programs)
    product("guest-image", "all")
    options = [word for module in modules for word in ("--module", module)]
    os.execv(HERE / "hostvm", ["hostvm", "--auto", "--timeout", str(limit_seconds), "--retries", "1", *options, "--",
                               str(script), "--inside", *programs, *wanted])
