"""A small QMP client for tests: one Unix or TCP socket, commands with their answers, and the events in between.

    qmp = qmp_client.Qmp("/tmp/x.sock")
    qmp.execute("stop"); qmp.wait_event("STOP"); qmp.execute("query-status") -> {"status": "paused", ...}
"""

import json
import os
import socket
import time


class QmpFailure(AssertionError):
    """The server did not do what the test waited for; the text tells the last messages in both directions."""


class QmpError(Exception):
    """The server answered with an error: `.error_class` and `.description`."""

    def __init__(self, command, error):
        super().__init__(f"{command}: {error.get('class')}: {error.get('desc')}")
        self.error_class = error.get("class")
        self.description = error.get("desc")


class Qmp:
    """A connection. `address` is a socket's path or (host, port).

    Waits up to `timeout` seconds for the socket to appear, for the greeting and later for each answer. With
    negotiate=False, qmp_capabilities is not sent. `greeting` is what the server said first, `events` all events so far.
    """

    def __init__(self, address, timeout=30, negotiate=True):
        self.timeout = timeout
        self.events = []
        self._unseen = 0  # the first event that no wait_event() has returned
        self._buffer = b""
        self._journal = []
        self._socket = self._connect(address)
        self.greeting = self._receive(time.monotonic() + timeout)
        if "QMP" not in self.greeting:
            raise self._failure("the server's first message is no greeting")
        if negotiate:
            self.execute("qmp_capabilities")

    def _connect(self, address):
        family = socket.AF_INET if isinstance(address, tuple) else socket.AF_UNIX
        deadline = time.monotonic() + self.timeout
        while True:
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.connect(address if isinstance(address, tuple) else os.fspath(address))
                return connection
            except OSError as error:
                connection.close()
                if time.monotonic() > deadline:
                    raise QmpFailure(f"no QMP server at {address} within {self.timeout} s: {error.strerror}") from error
                time.sleep(0.005)

    def _failure(self, sentence):
        shown = "\n".join(f"  | {line}" for line in self._journal[-20:]) or "  | (nothing)"
        return QmpFailure(f"{sentence}\n  the last QMP messages:\n{shown}")

    def _receive(self, deadline):
        """Returns the next message as a dictionary."""
        while b"\n" not in self._buffer:
            self._socket.settimeout(max(0.001, deadline - time.monotonic()))
            try:
                chunk = self._socket.recv(1 << 16)
            except TimeoutError:
                raise self._failure("the server did not answer in time") from None
            except OSError as error:
                raise self._failure(f"the connection broke: {error.strerror}") from error
            if not chunk:
                raise self._failure("the server closed the connection")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        self._journal.append(f"<- {line.decode(errors='replace').strip()}")
        try:
            return json.loads(line)
        except ValueError as error:
            raise self._failure(f"the server sent what is not JSON: {error}") from error

    def send(self, data):
        """Sends bytes as they are, for tests of bad input."""
        self._journal.append(f"-> {data[:200].decode(errors='replace').strip()}")
        self._socket.sendall(data)

    def receive(self, timeout=None):
        """Returns the next message, whatever it is."""
        return self._receive(time.monotonic() + (timeout or self.timeout))

    def execute(self, command, arguments=None, timeout=None, **named):
        """Runs a command and returns its "return" value; events on the way are kept in `events`.

        Arguments are a dictionary, or named (with _ for -). Raises QmpError for an error answer, QmpFailure for none.
        """
        request = {"execute": command}
        arguments = arguments or {name.replace("_", "-"): value for name, value in named.items()}
        if arguments:
            request["arguments"] = arguments
        self.send(json.dumps(request).encode() + b"\r\n")
        deadline = time.monotonic() + (timeout or self.timeout)
        while True:
            message = self._receive(deadline)
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise QmpError(command, message["error"])
            elif "return" in message:
                return message["return"]
            else:
                raise self._failure(f"the answer to {command} holds neither a return value nor an error")

    def pass_fd(self, name, descriptor):
        """Passes a descriptor, which stays ours too, under that name (getfd)."""
        request = {"execute": "getfd", "arguments": {"fdname": name}}
        self._journal.append(f"-> {json.dumps(request)} with descriptor {descriptor}")
        socket.send_fds(self._socket, [json.dumps(request).encode() + b"\r\n"], [descriptor])
        message = self._receive(time.monotonic() + self.timeout)
        if "return" not in message:
            raise QmpError("getfd", message.get("error", message))

    def wait_event(self, name, timeout=None, pass_over=True):
        """Returns the next event of that name which no earlier wait_event() has returned or passed over. Those that come
        before it are passed over, or left for a later one."""
        deadline = time.monotonic() + (timeout or self.timeout)
        at = self._unseen
        while True:
            while at < len(self.events):
                event = self.events[at]
                if event["event"] == name and not pass_over:
                    del self.events[at]
                    return event
                at += 1
                if pass_over:
                    self._unseen = at
                if event["event"] == name:
                    return event
            message = self._receive(deadline)
            if "event" not in message:
                raise self._failure(f"an answer came while waiting for the event {name}")
            self.events.append(message)

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
