"""Starts a VMM for a test, reads its guest's console, and ends it whatever happens.

    with vmm.Vmm(["nacre", ..., "-serial", "stdio"]) as machine:
        machine.wait_for(r"nacre-guest: ready", 60)
        print(machine.command("uname -r"))
        machine.wait_exit(20)

Every wait has a limit, and every failure tells the command line and the console's last 40 lines.
"""

import os
import re
import select
import shlex
import signal
import subprocess
import time

LAST_LINES = 40
EXIT_GRACE = 15.0  # a sanitizer looks for leaks then
CRASHES = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
OF_A_CRASH = re.compile(r"\w+Sanitizer:( (SEGV|BUS|ABRT|nested bug)|DEADLYSIGNAL)")


class VmmFailure(AssertionError):
    """What the test waited for did not happen."""


class GuestLost(VmmFailure):
    """The guest hangs, or has ended unasked. Under an emulated KVM that happens now and then: worth another try."""


class VmmTimeout(GuestLost):
    """It did not happen in time."""


class Vmm:
    """A running VMM whose guest's console is its standard input and output, or a file that it writes.

    argv              the command line; argv[0] is found on the PATH
    console_file      with it, the console is this file (which may appear later), and nothing can be typed
    descriptors       open ones that it inherits, under the same numbers
    log               the VMM's own standard error goes to this file, or into the console where it is None
    Not for use from several threads.
    """

    def __init__(self, argv, console_file=None, log=None, environment=None, descriptors=()):
        self.argv = [str(word) for word in argv]
        self.started = time.monotonic()
        self._console_file = console_file
        self._file = None
        self._text = ""
        self._position = 0  # wait_for() looks from here on
        self._log = log
        self.may_crash = False  # a case of crashes sets it
        errors = open(log, "wb") if log else subprocess.STDOUT
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                                        env={**os.environ, **(environment or {})}, start_new_session=True,
                                        pass_fds=descriptors)
        if log:
            errors.close()
        os.set_blocking(self.process.stdout.fileno(), False)
        self._open = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def console(self):
        """All that the console showed so far, without carriage returns."""
        self._read(0)
        return self._text

    def _failure(self, sentence, kind=VmmFailure):
        lines = self._text.splitlines()[-LAST_LINES:]
        shown = "\n".join(f"  | {line}" for line in lines) or "  | (nothing)"
        return kind(f"{sentence}\n  command: {shlex.join(self.argv)}\n  console's last lines:\n{shown}")

    def _read(self, seconds):
        """Takes in what the console says, waiting up to `seconds` for it. Returns whether there was something."""
        before = len(self._text)
        output = self.process.stdout.fileno()
        if self._open and select.select([output], [], [], seconds)[0]:
            chunk = os.read(output, 1 << 20)
            self._open = bool(chunk)
            self._take(chunk)
        elif not self._open:
            time.sleep(min(seconds, 0.02))
        if self._console_file and self._file is None and os.path.exists(self._console_file):
            self._file = open(self._console_file, "rb")
        if self._file:
            self._take(self._file.read())
        return len(self._text) > before

    def _take(self, chunk):
        self._text += chunk.decode(errors="replace").replace("\r", "")

    def wait_for(self, pattern, timeout):
        """Waits until the console shows `pattern` (regular expression, multi-line mode) after the last match.

        A "$" at its end waits for the end of the line.
        Returns the match object. Raises VmmTimeout after `timeout` seconds, or at once where the VMM has ended:
        GuestLost with status 0, VmmFailure with another.
        """
        # At the end of what has come so far, "$" would match half a line
        whole_line = pattern.endswith("$") and not pattern.endswith("\\$")
        expression = re.compile(pattern[:-1] + r"(?=\n)" if whole_line else pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        while True:
            match = expression.search(self._text, self._position)
            if match:
                self._position = match.end()
                return match
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._failure(f"the console did not show /{pattern}/ within {timeout:g} s", VmmTimeout)
            ended = self.process.poll() is not None
            step = min(left, 0.1 if self._console_file else 1.0)
            if not self._read(step) and ended and not self._open:
                status = self.process.returncode
                raise self._failure(f"the VMM ended with status {status} before the console showed /{pattern}/",
                                    VmmFailure if status else GuestLost)

    def type(self, text):
        """Types `text` on the guest's console."""
        try:
            self.process.stdin.write(text.encode())
            self.process.stdin.flush()
        except OSError as error:
            raise self._failure(f"nothing can be typed on the console: {error.strerror}") from error

    def command(self, line, timeout=30):
        """Runs a shell line in the guest, which must be at its prompt; returns the output without the last newline.

        Raises VmmFailure where it does not end in time or its status is not 0.
        """
        self.console  # what was said before is not the answer
        self._position = len(self._text)
        # The marks are quoted apart so that the echo of what is typed does not hold them
        self.type(f"echo '<''<<'; {line}; echo '>''>>' $?\n")
        self.wait_for(r"<<<$\n", timeout)
        match = self.wait_for(r"^((?s:.*?))>>> (\d+)$", timeout)
        if match[2] != "0":
            raise self._failure(f"the guest's command '{line}' ended with status {match[2]}")
        return match[1].removesuffix("\n")

    def wait_exit(self, timeout, status=0):
        """Waits until the VMM ends by itself. Raises VmmTimeout after `timeout` seconds, and VmmFailure
        for another exit status."""
        deadline = time.monotonic() + timeout
        while self.process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise self._failure(f"the VMM did not end within {timeout:g} s", VmmTimeout)
            self._read(min(left, 0.1))
        while self._read(0):
            pass
        if status is not None and self.process.returncode != status:
            raise self._failure(f"the VMM ended with status {self.process.returncode}, not {status}")
        return self.process.returncode

    def memory(self):
        """Returns {name: KiB} of /proc/PID/smaps_rollup: Rss, Pss, Private_Dirty and the rest."""
        with open(f"/proc/{self.process.pid}/smaps_rollup") as file:
            return {name: int(value) for name, value in re.findall(r"^(\w+): +(\d+) kB$", file.read(), re.MULTILINE)}

    def stop(self):
        """Ends the VMM: SIGTERM, and SIGKILL to its session where it lives on. Harmless when it has ended.

        Raises VmmFailure where it has crashed, or a sanitizer in it has told of something.
        """
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.wait_exit(EXIT_GRACE, None)
            except VmmTimeout:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
        while self._open and self._read(0):
            pass
        for stream in (self.process.stdin, self.process.stdout, self._file):
            if stream:
                try:
                    stream.close()
                except OSError:
                    pass
        self._open = False
        said = self._text
        if self._log and os.path.exists(self._log):
            with open(self._log, errors="replace") as file:
                said += file.read()
        if self.may_crash:  # which a sanitizer tells of too
            said = OF_A_CRASH.sub("", said)
        crashed = -self.process.returncode in CRASHES and not self.may_crash
        if crashed or "Sanitizer:" in said or "runtime error:" in said:
            raise self._failure(f"the VMM has ended with status {self.process.returncode}: {said[-4000:]}")
