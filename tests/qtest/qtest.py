"""A small client of the qtest protocol: a machine without vCPUs, and what a guest would read and write.

    with qtest.Machine(nacre, plugins, ["-machine", "microvm"]) as vm:
        vm.readl(0xf0100000) -> 0x74726976
        vm.write(0x100000, b"bytes"); vm.read(0x100000, 5)
        vm.request("clock_step 1000") -> "1000"
"""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SECONDS = 10      # for an answer, or for what a device does
SECONDS_TO_END = 60  # in order: a sanitizer looks for leaks then


class Failure(AssertionError):
    """The machine did not do what the test waited for; the text tells what it has logged."""


class Refused(Exception):
    """The machine answered with something other than OK; the text is its answer."""


def report_of_a_sanitizer(log):
    """Whether there is one in what a program has said."""
    return "Sanitizer:" in log or "runtime error:" in log


def open_files(pid):
    """What the process has open, by name."""
    links = pathlib.Path(f"/proc/{pid}/fd").iterdir()
    return [os.readlink(link) for link in links]


class Machine:
    """Nacre with -qtest. Ends with the `with` statement, and then checks that it ended well.

    `arguments` follow its own (plugins, the socket). With `listen`, the machine makes the socket and the test connects.
    `scratch` is a folder for the test's files, which prepare() may make before the start and arguments may name as
    SCRATCH; `qmp` is the path of its QMP socket.
    """

    def __init__(self, nacre, plugins, arguments, listen=False, dialect="qtest", memory="128M",
                 prepare=lambda scratch: None, preload=None):
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="nacre-qtest-"))
        prepare(self.scratch)
        self.qmp = self.scratch / "qmp"
        self.irqs = []  # ("raise" or "lower", line), as they came
        self._buffer = b""
        self._newline = b"\n" if dialect == "qtest" else b""
        path = self.scratch / "qtest"
        arguments = [str(word).replace("SCRATCH", str(self.scratch)) for word in arguments]
        how = {"qtest": ["-qtest", f"unix:{path}" + (",server=on,wait=off" if listen else "")],
               "test": ["-accel", "test", "-mod-test", f"unix:{path}"],
               "stratovirt": ["-mod-test", str(path)]}[dialect]  # as StratoVirt's own tests start it
        command = [str(nacre), "-plugin-dir", str(plugins), "-m", memory, "-qmp", f"unix:{self.qmp},server,nowait",
                   *how, *arguments]
        self._log = open(self.scratch / "log", "a+b")
        self._ends_with = {0}
        listener = None
        if not listen:
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(str(path))
            listener.listen(1)
            listener.settimeout(0.05)
        environment = {**os.environ, "LD_PRELOAD": str(preload)} if preload else None
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
                                        env=environment)
        try:
            self._socket = self._meet(listener, path)
        except BaseException:
            self.may_end_with(1)  # a refusal
            self.close()
            raise
        finally:
            if listener:
                listener.close()
        self._socket.settimeout(SECONDS)

    def _meet(self, listener, path):
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise Failure(f"the machine did not start: {self.log()}")
            try:
                if listener:
                    return listener.accept()[0]
                client = socket.socket(socket.AF_UNIX)
                client.connect(str(path))
                return client
            except (TimeoutError, FileNotFoundError, ConnectionRefusedError):
                time.sleep(0 if listener else 0.005)
        raise Failure(f"the machine did not come to the socket within {SECONDS} s: {self.log()}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.check_alive()
        finally:
            self.close()

    def may_end_with(self, status):
        """Beside 0, the status of what the case is about."""
        self._ends_with.add(status)

    def kill(self):
        """Ends it as SIGKILL does, on purpose."""
        self.may_end_with(-signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    def close(self):
        """Ends it. A machine ends in order, with status 0, unless it was killed or has refused to start, and with no
        report of a sanitizer: else this raises Failure. Once is enough, twice is harmless."""
        if self._log.closed:
            return
        hangs = False
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                hangs = True
                self.process.kill()
                self.process.wait()
        if hasattr(self, "_socket"):
            self._socket.close()
        log = self._said = self.log()
        self._log.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
        if hangs:
            raise Failure(f"the machine did not end within {SECONDS_TO_END} s of SIGTERM: {log}")
        if self.process.returncode not in self._ends_with or report_of_a_sanitizer(log):
            raise Failure(f"the machine has ended with status {self.process.returncode}: {log}")

    def log(self):
        """What the machine has said so far."""
        if self._log.closed:
            return self._said
        return (self.scratch / "log").read_text(errors="replace")

    def check_alive(self):
        self.request("endianness")
        if self.process.poll() is not None:
            raise Failure(f"the machine has ended: {self.log()}")

    # The protocol

    def request(self, line):
        """Sends a line; the rest of the answer after "OK". Raises Refused for any other answer."""
        answer = self.raw_request(line)
        if answer != "OK" and not answer.startswith("OK "):
            raise Refused(answer)
        return answer[3:]

    def requests(self, lines):
        """The same for several at once, which is quicker; the answers' rest."""
        self._socket.sendall("".join(line + "\n" for line in lines).encode())
        answers = []
        while len(answers) < len(lines):
            answer = self._line()
            if answer.startswith("IRQ "):
                self._note_irq(answer)
                continue
            if answer != "OK" and not answer.startswith("OK "):
                raise Refused(answer)
            answers.append(answer[3:])
        return answers

    def raw_request(self, line):
        try:
            self._socket.sendall(line.encode() + self._newline)
            while True:
                answer = self._line()
                if not answer.startswith("IRQ "):
                    return answer
                self._note_irq(answer)
        except OSError as error:
            raise Failure(f"no answer to '{line[:80]}': {error}; status {self.process.poll()}: {self.log()}") from error

    def _line(self):
        while b"\n" not in self._buffer:
            data = self._socket.recv(1 << 20)
            if not data:
                raise ConnectionResetError("the machine has closed the connection")
            self._buffer += data
        line, self._buffer = self._buffer.split(b"\n", 1)
        return line.decode()

    def _note_irq(self, line):
        _, what, number = line.split()
        self.irqs.append((what, int(number)))

    def _read(self, letter, address):
        return int(self.request(f"read{letter} {address:#x}"), 16)

    def readb(self, address):
        return self._read("b", address)

    def readw(self, address):
        return self._read("w", address)

    def readl(self, address):
        return self._read("l", address)

    def readq(self, address):
        return self._read("q", address)

    def load(self, address, width):
        return self._read({1: "b", 2: "w", 4: "l", 8: "q"}[width], address)

    def store(self, address, width, value):
        self.request(f"write{ {1: 'b', 2: 'w', 4: 'l', 8: 'q'}[width] } {address:#x} {value & (1 << 8 * width) - 1:#x}")

    def writeb(self, address, value):
        self.store(address, 1, value)

    def writew(self, address, value):
        self.store(address, 2, value)

    def writel(self, address, value):
        self.store(address, 4, value)

    def writeq(self, address, value):
        self.store(address, 8, value)

    def read(self, address, length):
        return bytes.fromhex(self.request(f"read {address:#x} {length:#x}")[2:])

    def write(self, address, data):
        self.request(f"write {address:#x} {len(data):#x} 0x{data.hex()}")

    def inb(self, port):
        return int(self.request(f"inb {port:#x}"), 16)

    def inl(self, port):
        return int(self.request(f"inl {port:#x}"), 16)

    def outb(self, port, value):
        self.request(f"outb {port:#x} {value:#x}")

    def outl(self, port, value):
        self.request(f"outl {port:#x} {value:#x}")

    def clock_step(self, ns):
        return int(self.request(f"clock_step {ns}"))

    def took_message(self, address, data):
        """Whether the MSI message was sent since this was asked last."""
        return self.request(f"query_msix {address} {data}") == "TRUE"

    def line_is_up(self, line):
        return self.request(f"query_intx {line}") == "TRUE"

    def wait_for(self, condition, what):
        """Waits until condition() is true; each look at it lets the machine go on."""
        deadline = time.monotonic() + SECONDS
        while not condition():
            if time.monotonic() > deadline:
                raise Failure(f"{what} did not come within {SECONDS} s: {self.log()}")
            time.sleep(0.0005)

    def settle(self):
        """Lets what is under way on the machine's threads end: some turns of its loop."""
        for _ in range(5):
            self.request("endianness")
            os.sched_yield()
