"""What the suites of Linux guests share: their cases, how they are run, and where.

A suite is a program NAME NACRE_BINARY PLUGIN_DIR [CASE ...], or NAME --list. Its cases run on this machine's KVM where it
runs stock kernels, else all together in one host VM. The exit status is 0 where every case passed; nothing is skipped.
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


class Suite:
    def __init__(self, program, seconds, modules=(), bench=Bench, strato=True, auto=True):
        """`seconds` is the limit of the whole in a host VM, which loads `modules` first. `strato`: guests with a kernel
        of StratoVirt's kind are among the cases. `auto`: this machine will do where its KVM runs stock kernels."""
        self.path = pathlib.Path(program).resolve()
        self.seconds, self.modules, self.bench, self.strato, self.auto = seconds, modules, bench, strato, auto
        self.cases = []

    def case(self, function):
        """Decorates a function of a Bench that fails by an exception."""
        self.cases.append(function)
        return function

    def main(self):
        name = self.path.name
        if sys.argv[1:] == ["--list"]:
            print("\n".join(function.__name__ for function in self.cases))
            return 0
        inside = sys.argv[1:2] == ["--inside"]
        words = sys.argv[2:] if inside else sys.argv[1:]
        if len(words) < 2:
            print(f"usage: {name} NACRE_BINARY PLUGIN_DIR [CASE ...], or {name} --list", file=sys.stderr)
            return 2
        programs, wanted = words[:2], words[2:]
        unknown = set(wanted) - {function.__name__ for function in self.cases}
        if unknown:
            print(f"{name}: no case {', '.join(sorted(unknown))}; --list names them", file=sys.stderr)
            return 2
        if inside:
            return self._run_all([one for one in self.cases if not wanted or one.__name__ in wanted], programs)
        product("guest-image", "all")
        if self.strato:
            product("build-strato-kernel")
        modules = [word for module in self.modules for word in ("--module", module)]
        os.execv(HERE / "hostvm", ["hostvm", *(["--auto"] if self.auto else []), "--timeout", str(self.seconds),
                                   "--retries", "1", *modules, "--",
                                   str(self.path), "--inside", *programs, *wanted])

    def _run_all(self, cases, programs):
        """Runs the cases here; returns the exit status."""
        failed = 0
        for function in cases:
            started = time.monotonic()
            failure = self._run(function, programs)
            failed += bool(failure)
            print(f"{'FAIL' if failure else 'PASS'} {function.__name__} ({time.monotonic() - started:.1f} s)"
                  f"{': ' + failure if failure else ''}", flush=True)
        print(f"{self.path.name}: {len(cases) - failed} of {len(cases)} passed")
        return 1 if failed else 0

    def _run(self, function, programs):
        """Runs one case; returns "" or why it failed. In an emulated host a guest hangs or goes astray now and then, about
        once in twenty boots with several processors: a case whose guest did is run once more, and that is said."""
        for is_last in (False, True):
            with tempfile.TemporaryDirectory(prefix="microvm-") as scratch:
                try:
                    function(self.bench(*programs, scratch))
                    return ""
                except vmm.VmmFailure as astray:
                    if is_last or not os.environ.get("HOSTVM"):
                        return str(astray)
                    print(f"{function.__name__}: once more: {astray}", flush=True)
                except EXPECTED as failure:
                    return str(failure) or traceback.format_exc()
                except (OSError, subprocess.SubprocessError, KeyError, ValueError, IndexError):
                    return traceback.format_exc()
