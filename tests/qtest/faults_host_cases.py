"""Faults of the host around the machine: clients and signals. What is promised: ../faults.md."""

import collections
import json
import pathlib
import random
import signal
import socket
import subprocess
import tempfile
import time

import devices
import figures
import qtest
from bench import case, check
from known_faults import USER_NETWORKS, machine, must_idle, open_files, status
from known_faults_host_cases import PORT, Monitor
from virtio import VERSION_1, Mmio

DISK = devices.ALL["blk"]


def state(vm, monitor):
    """All that a hot-plug changes and a refusal must not: files, threads, and what the machine says that it has."""
    return (open_files(vm), status(vm, "Threads"), monitor.done("query-block"), monitor.done("query-named-block-nodes"),
            monitor.done("query-chardev"))


class HotPlug:
    """`steps` make something, one command after another; removals[n] takes it away when steps[n] was the last done, and
    tells so by the event `after`. `stays`: the back end does not go with its device."""

    def __init__(self, steps, removals, after="DEVICE_DELETED", stays=False):
        self.steps, self.removals, self.after, self.stays = steps, removals, after, stays

    def make(self, monitor):
        """Runs the steps; returns None, or the error of the first that is refused, after what was made is gone."""
        for number, (command, arguments) in enumerate(self.steps):
            answer = monitor.execute(command, **arguments)
            if "error" in answer:
                if number:
                    monitor.done(self.removals[number - 1][0], **self.removals[number - 1][1])
                return answer["error"]["desc"]
        return None

    def remove(self, monitor):
        monitor.done(self.removals[-1][0], **self.removals[-1][1])
        monitor.wait_for(self.after)
        if self.stays:
            monitor.done(self.removals[0][0], **self.removals[0][1])

    def come_and_go(self, monitor):
        says = self.make(monitor)
        check(says is None, f"{self.steps[-1]} is refused: {says}")
        self.remove(monitor)


# Where hot_plugs() find their places
MICROVM = ("-machine", "microvm", "-device", "virtio-serial-device,id=s", *USER_NETWORKS)
Q35 = ("-machine", "q35", *PORT, "-device", "virtio-serial-pci,id=s", *USER_NETWORKS)


def hot_plugs(scratch, where=MICROVM):
    """Something of each kind that comes and goes on the machine of these arguments."""
    q35 = where is Q35
    suffix = "pci" if q35 else "mmio"
    place = {"addr": "0x0", **({"bus": "pcie.1"} if q35 else {})}

    def disk(aio):
        return HotPlug([("blockdev-add", {"node-name": "d", "driver": "raw", "cache": {"direct": False},
                                          "file": {"driver": "file", "filename": str(scratch / "disk"), "aio": aio}}),
                        ("device_add", {"id": "d", "driver": f"virtio-blk-{suffix}", "drive": "d", **place})],
                       [("blockdev-del", {"node-name": "d"}), ("device_del", {"id": "d"})], stays=q35)

    line = {"type": "socket", "data": {"addr": {"type": "unix", "data": {"path": str(scratch / "line")}}, "server": True}}
    return {"disk (threads)": disk("threads"), "disk (io_uring)": disk("iouring"),
            "network": HotPlug([("netdev_add", {"id": "n", "type": "user"}),
                                ("device_add", {"id": "n", "driver": f"virtio-net-{suffix}", "netdev": "n", **place})],
                               [("netdev_del", {"id": "n"}), ("device_del", {"id": "n"})], stays=q35),
            "console": HotPlug([("chardev-add", {"id": "c", "backend": line}),
                                ("device_add", {"id": "c", "driver": "virtconsole", "chardev": "c"})],
                               [("chardev-remove", {"id": "c"}), ("device_del", {"id": "c"})], stays=True)}


def _lines(*commands):
    return "".join(json.dumps({"execute": command, "arguments": arguments}) + "\n"
                   for command, arguments in (("qmp_capabilities", {}), *commands)).encode()


@case
def reset_asked_for_amid_a_hot_plug(nacre, plugins):
    """Both in one message: the disk, on an iothread, comes to a slot whose driver is at work, and then the reset."""
    with machine(nacre, plugins, "-machine", "microvm", "-object", "iothread,id=io0", prepare=DISK.prepare) as vm:
        monitor = Monitor(vm)
        Mmio(vm, 2).start(VERSION_1, (0,))
        add, plug = hot_plugs(vm.scratch)["disk (threads)"].steps
        monitor.done(add[0], **add[1])
        monitor.lines.write(json.dumps({"execute": "system_reset"}) +
                            json.dumps({"execute": plug[0], "arguments": {**plug[1], "iothread": "io0"}}))
        monitor.lines.flush()
        monitor.wait_for("RESET")
        ring, = Mmio(vm, 2).start(VERSION_1, (0,))
        check(ring is not None and monitor.done("query-status")["running"], "the machine does not go on")


@case
def clients_that_vanish(nacre, plugins):
    """Clients leave in the middle of a word, of a command, of an answer: a command that was whole is done or was never
    begun, other clients notice nothing, and no descriptor stays."""
    ways, rounds = collections.Counter(), 50
    with machine(nacre, plugins, "-machine", "microvm", prepare=DISK.prepare) as vm:
        monitor = Monitor(vm)
        plug = hot_plugs(vm.scratch)["disk (threads)"]
        check(plug.make(monitor) is None, "the disk cannot be plugged")  # what the slot has opened it keeps
        plug.remove(monitor)
        vm.settle()
        before = state(vm, monitor)
        add = _lines(plug.steps[0])
        sent = {"at once": b"", "in a word": b'{"execute": "qmp_cap', "in a string": _lines() + b'{"execute": "query-st',
                "in a command": add[:len(add) - 20], "before many answers": _lines(*[("query-commands", {})] * 50),
                "before a long answer": _lines(("query-qmp-schema", {})), "in blockdev-add": add,
                "in device_add": _lines(*plug.steps), "in device_del": _lines(*plug.steps, plug.removals[1]),
                "with a descriptor": _lines(("getfd", {"fdname": "f"}))}
        for number in range(rounds):
            for way, data in sent.items():
                with socket.socket(socket.AF_UNIX) as client, open("/dev/null", "rb") as file:
                    client.connect(str(vm.qmp))
                    if number % 2:
                        client.recv(100)
                    if way == "with a descriptor":
                        socket.send_fds(client, [data], [file.fileno()])
                    elif data:
                        client.sendall(data)
                    if number % 3 == 1:
                        client.shutdown(socket.SHUT_WR)
                ways[way] += 1
                check(monitor.done("query-status")["running"], f"a client left {way}: the machine does not run")
                vm.settle()
                monitor.execute("device_del", id="d")
                monitor.execute("blockdev-del", **{"node-name": "d"})
        vm.settle()
        vm.wait_for(lambda: state(vm, monitor) == before, f"what there was before the clients: {state(vm, monitor)}, {before}")
        must_idle(vm, "clients that have left")
    figures.tell("faults", "clients_that_vanish", ways.total(), f"clients, {rounds} each: {', '.join(ways)}")


@case
def signals_at_any_moment(nacre, plugins):
    """SIGTERM, SIGINT and SIGHUP while the machine starts, runs, is paused, is resumed, or plugs: it ends, and leaves
    neither sockets nor a pid file. From its start on that is an orderly end, with status 0."""
    rng = random.Random(3)
    ends = collections.Counter()
    for number in range(60):
        which = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)[number % 3]
        with tempfile.TemporaryDirectory(prefix="nacre-signal-") as name:
            where = pathlib.Path(name)
            (where / "disk").write_bytes(bytes(4096))
            process = subprocess.Popen(
                [nacre, "-plugin-dir", plugins, "-machine", "microvm", "-m", "128M", "-qtest",
                 f"unix:{where}/qtest,server=on,wait=off", "-qmp", f"unix:{where}/qmp,server,nowait", "-chardev",
                 f"socket,id=c,path={where}/line,server,nowait", "-serial", "chardev:c", "-drive",
                 f"id=e,file={where}/disk,direct=off", "-device", "virtio-blk-device,drive=e,id=e"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                time.sleep(rng.random() * 0.03)
                process.send_signal(which)
                _, says = process.communicate(timeout=qtest.SECONDS)
                check(process.returncode in (0, -which), f"signal {which}: ends with {process.returncode}: {says}")
                left = sorted(path.name for path in where.iterdir())
                check(left == ["disk"], f"signal {which} while it starts leaves {left}, status {process.returncode}")
                ends[f"while it starts: status {process.returncode if process.returncode == 0 else 'of the signal'}"] += 1
            finally:
                process.kill()
                process.wait()
    for moment in ("running", "paused", "resuming", "plugging", "unplugging"):
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            for _ in range(3):
                vm = machine(nacre, plugins, "-machine", "microvm", prepare=DISK.prepare)
                try:
                    monitor = Monitor(vm)
                    plug = hot_plugs(vm.scratch)["disk (threads)"]
                    if moment in ("paused", "resuming"):
                        monitor.done("stop")
                    if moment == "resuming":
                        monitor.socket.sendall(_lines(("cont", {}))[len(_lines()):])
                    if moment == "unplugging":
                        check(plug.make(monitor) is None, "the disk cannot be plugged")
                        monitor.socket.sendall(_lines(plug.removals[1])[len(_lines()):])
                    if moment == "plugging":
                        monitor.socket.sendall(_lines(*plug.steps)[len(_lines()):])
                    vm.process.send_signal(which)
                    monitor.wait_for("SHUTDOWN")
                    check(vm.process.wait(qtest.SECONDS) == 0, f"{moment}, signal {which}: {vm.process.returncode}: {vm.log()}")
                    check(not vm.qmp.exists(), f"{moment}, signal {which}: the QMP socket is left")
                    ends[moment] += 1
                finally:
                    vm.close()
    figures.tell("faults", "signals_at_any_moment", ends.total(), f"signals: {dict(ends)}")
