"""What the suites of Linux guests share: their cases, how they are run, and where.

A suite is a program NAME NACRE_BINARY PLUGIN_DIR [CASE ...], or NAME --list; one that runs more programs names them after
the first two. Its cases run on this machine's KVM where it runs stock kernels, else all together in one host VM. The exit
status is 0 where every case passed; nothing is skipped.
"""

import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))  # what all kinds of tests share

import products
import qmp_client
import vmm
from linux_guest import Bench

HERE = pathlib.Path(__file__).resolve().parent
STRATO_FORMS = ("vmlinux", "vmlinux.bin", "bzImage")
TRIES = 3  # of a case
HOSTS = 6  # at most for a suite
HOST_FAILED = 125  # as hostvm says it
HOST_SECONDS = 2400  # the limit of a host VM; the longest suite takes twenty minutes
CASE_SECONDS = 1200  # the limit of one case; the longest takes nine minutes here
EXPECTED = (qmp_client.QmpFailure, qmp_client.QmpError, AssertionError)


def _too_long(*_):
    raise vmm.VmmTimeout(f"the case did not end within {CASE_SECONDS} s")


class Suite:
    def __init__(self, program, modules=(), bench=Bench, shared=False, programs=(), strato=True, auto=True,
                 files=(), firmware=False):
        """A host VM loads `modules` first. Cases are functions of a `bench`, which is made for each, or one for all where
        it is `shared`; `programs` names those that it needs beside Nacre. `strato`: guests with a kernel of StratoVirt's
        kind are among the cases. `auto`: this machine will do where its KVM runs stock kernels. `files`: what guest-image
        makes for its cases beside what all guests boot from. `firmware`: guests run firmware."""
        self.path = pathlib.Path(program).resolve()
        self.modules, self.strato, self.auto, self.files = modules, strato, auto, files
        self.bench, self.shared, self.firmware = bench, shared, firmware
        self.programs = ("NACRE_BINARY", "PLUGIN_DIR", *programs)
        self.cases = []
        self._open = None  # the bench in use, and its directory

    def case(self, function):
        """Decorates a function of a bench that fails by an exception."""
        self.cases.append(function)
        return function

    def main(self):
        name = self.path.name
        if sys.argv[1:] == ["--list"]:
            print("\n".join(function.__name__ for function in self.cases))
            return 0
        inside = sys.argv[1:2] == ["--inside"]
        words = sys.argv[2:] if inside else sys.argv[1:]
        count = len(self.programs)
        if len(words) < count:
            print(f"usage: {name} {' '.join(self.programs)} [CASE ...], or {name} --list", file=sys.stderr)
            return 2
        programs, wanted = words[:count], words[count:]
        unknown = set(wanted) - {function.__name__ for function in self.cases}
        if unknown:
            print(f"{name}: no case {', '.join(sorted(unknown))}; --list names them", file=sys.stderr)
            return 2
        cases = [one for one in self.cases if not wanted or one.__name__ in wanted]
        if inside:
            return self._run_all(cases, programs)
        products.make_for_all()
        for name in self.files:
            products.product("guest-image", *name.split())
        if self.strato:
            for form in STRATO_FORMS:
                products.product("build-strato-kernel", form)
        products.hand_on()
        return self._run_hosted(cases, programs)

    def _run_hosted(self, cases, programs):
        """Runs the cases in a host, or on this machine; returns the exit status. An emulated host dies or hangs now and
        then, whatever runs in it: the cases that it has not come to are run in a new one, and that is said."""
        modules = [word for module in self.modules for word in ("--module", module)]
        hostvm = [HERE / "hostvm", *(["--auto"] if self.auto else []), "--timeout", str(HOST_SECONDS), "--smp", "1",
                  *modules, *(["--firmware"] if self.firmware else []), "--", self.path, "--inside", *programs]
        left = [function.__name__ for function in cases]
        passed = 0
        for number in range(1, HOSTS + 1):
            with subprocess.Popen([*hostvm, *left], stdout=subprocess.PIPE, text=True, errors="replace") as process:
                for line in process.stdout:
                    print(line, end="", flush=True)
                    result = re.match(r"(PASS|FAIL) (\w+) \(", line)
                    if result and result[2] in left:
                        left.remove(result[2])
                        passed += result[1] == "PASS"
            if process.returncode != HOST_FAILED or not left or number == HOSTS:
                break
            print(f"{self.path.name}: a new host for {len(left)} cases, from {left[0]} on", flush=True)
        print(f"{self.path.name}: {passed} of {len(cases)} passed")
        return 0 if passed == len(cases) else 1

    def _run_all(self, cases, programs):
        """Runs the cases here; returns the exit status."""
        failed = False
        for function in cases:
            started = time.monotonic()
            failure = self._run(function, programs)
            failed = failed or bool(failure)
            print(f"{'FAIL' if failure else 'PASS'} {function.__name__} ({time.monotonic() - started:.1f} s)"
                  f"{': ' + failure if failure else ''}", flush=True)
        self._close()
        return 1 if failed else 0

    def _run(self, function, programs):
        """Runs one case; returns "" or why it failed. In an emulated host any VMM's guest hangs or dies now and then, one
        boot in twenty with several processors: a case whose guest did is run again, and that is said."""
        for number in range(1, TRIES + 1):
            try:
                signal.signal(signal.SIGALRM, _too_long)
                signal.alarm(CASE_SECONDS)
                self._bench(programs).run(function)
                return ""
            except vmm.GuestLost as astray:
                self._close()
                if number == TRIES or not os.environ.get("HOSTVM"):
                    return str(astray)
                print(f"{function.__name__}: again: {astray}", flush=True)
            except EXPECTED as failure:
                return str(failure) or traceback.format_exc()
            except (OSError, subprocess.SubprocessError, KeyError, ValueError, IndexError):
                return traceback.format_exc()
            finally:
                signal.alarm(0)
                if not self.shared:
                    self._close()

    def _bench(self, programs):
        """Returns the bench in use, which is made where there is none."""
        if not self._open:
            scratch = tempfile.TemporaryDirectory(prefix="microvm-")
            self._open = (None, scratch)
            self._open = (self.bench(*programs, scratch.name), scratch)
        return self._open[0]

    def _close(self):
        if self._open:
            bench, scratch = self._open
            self._open = None
            if bench:
                bench.close()
            scratch.cleanup()
