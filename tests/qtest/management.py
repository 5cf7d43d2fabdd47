"""A client of the machine's QMP socket, beside the test that drives it."""

import json
import socket

import qtest


class Management:
    """`events` are the names of those that have come before an answer; wait_for() looks for one."""

    def __init__(self, vm):
        self.events = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(qtest.SECONDS)
        self.socket.connect(str(vm.qmp))
        self.lines = self.socket.makefile("rw")
        json.loads(self.lines.readline())
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        self.lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        self.lines.flush()
        while True:
            answer = json.loads(self.lines.readline())
            if "event" not in answer:
                return answer
            self.events.append(answer["event"])

    def refused(self, command, **arguments):
        """The sentence of the refusal that must come."""
        answer = self.execute(command, **arguments)
        if "error" not in answer:
            raise AssertionError(f"{command} {arguments} was not refused but answered {answer}")
        return answer["error"]["desc"]

    def done(self, command, **arguments):
        answer = self.execute(command, **arguments)
        if "return" not in answer:
            raise AssertionError(f"{command} {arguments} answered {answer}")
        return answer["return"]

    def wait_for(self, event):
        """Its data; what has come before is forgotten."""
        while event not in self.events:
            answer = json.loads(self.lines.readline())
            if "event" in answer:
                self.events.append(answer["event"])
        del self.events[:self.events.index(event) + 1]
