"""Helpers that die: a vhost-user back end, and passt. What is promised: ../faults.md."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

import devices
import figures
import pci
import qtest
from bench import case, check
from devices import BUFFERS
from faults_host_cases import hot_plugs, state
from known_faults import USER_NETWORKS, machine, must_idle
from known_faults_host_cases import Monitor
from virtio import NEEDS_RESET, VERSION_1, Mmio, PciTransport

NET = devices.ALL["net"]
PEER = pathlib.Path(__file__).resolve().parent / "vhost_peer.py"


@contextlib.contextmanager
def vhost_peer(*how):
    """A back end that listens: yields (its process, its socket)."""
    with tempfile.TemporaryDirectory(prefix="nacre-peer-") as name:
        path = pathlib.Path(name) / "socket"
        with subprocess.Popen([sys.executable, PEER, path, *map(str, how)], stdout=subprocess.PIPE, text=True) as peer:
            try:
                peer.stdout.readline()
                yield peer, path
            finally:
                peer.kill()


def shared_directory(path):
    return ["-machine", "q35,mem-share=on", "-chardev", f"socket,id=c,path={path}", "-device",
            "vhost-user-fs-pci,chardev=c,tag=t,id=f"]


def start_driver(vm):
    transport = PciTransport(vm, pci.find(vm, 0x1af4, 0x1040 + 26)[0])
    with contextlib.suppress(AssertionError):  # it may say at FEATURES_OK already that it cannot
        transport.start(VERSION_1, (0, 1))
    return transport


@case
def back_ends_killed_at_every_message(nacre, plugins):
    """A vhost-user back end is killed at its first, second, ... message: before the machine is there, it does not start,
    and says why; later, the device asks its driver for a reset."""
    with vhost_peer() as (peer, path):
        with machine(nacre, plugins, *shared_directory(path)) as vm:
            check(start_driver(vm).works(), "the shared directory does not start")
            vm.settle()
        last = peer.communicate(timeout=qtest.SECONDS)[0].split()[-1]
    killed = refusals = 0
    for number in range(1, int(last) + 1):
        with vhost_peer("kill", number) as (peer, path), tempfile.TemporaryDirectory(prefix="nacre-") as name:
            try:
                vm = machine(nacre, plugins, *shared_directory(path))
            except qtest.Failure as failure:
                check("did not start" in str(failure) and "back end failed: " in str(failure),
                      f"killed at message {number}: {failure}")
                refusals += 1
                continue
            with vm:
                transport = start_driver(vm)
                if peer.poll() is None:  # the message is one of the end
                    transport.reset()
                check(peer.wait(qtest.SECONDS) == -signal.SIGKILL, f"there is no message {number}")
                killed += 1
                vm.settle()
                check(not transport.works(), f"killed at message {number}: the device works")
                must_idle(vm, f"a back end killed at message {number}")
                check(Monitor(vm).done("query-status")["running"], "the machine does not run")
                check(not start_driver(vm).works(), "without a back end the device works")
    check(refusals and killed > 5, f"{refusals} refusals to start, and {killed} later")
    figures.tell("faults", "back_ends_killed_at_every_message", refusals + killed, f"kills, {refusals} of them at the start")


@case
def back_ends_killed_while_they_work(nacre, plugins):
    """The device asks for a reset, by its status and an interrupt; the rest of the machine goes on."""
    rounds = 10
    for _ in range(rounds):
        with vhost_peer() as (peer, path), machine(nacre, plugins, *shared_directory(path), "-device",
                                                   "virtio-rng-pci,rng=r", "-object",
                                                   "rng-random,id=r,filename=/dev/urandom") as vm:
            transport = start_driver(vm)
            check(transport.works(), "the shared directory does not start")
            peer.kill()
            vm.wait_for(lambda: transport.status() & NEEDS_RESET, "NEEDS_RESET of a device without its back end")
            vm.wait_for(transport.took_config_interrupt, "the interrupt that tells of it")
            check("back end has gone" in vm.log(), f"the log does not say why: {vm.log()}")
            must_idle(vm, "a back end that was killed")
            check(Monitor(vm).done("query-status")["running"], "the machine does not run")
    figures.tell("faults", "back_ends_killed_while_they_work", rounds, "kills")


@case
def a_back_end_that_hangs(nacre, plugins):
    """One that answers no more is waited for 5 s, once; then the device is without a back end, and the machine goes on."""
    with vhost_peer("stop", 8) as (peer, path), machine(nacre, plugins, *shared_directory(path)) as vm:
        begin = time.monotonic()
        transport = start_driver(vm)
        vm.settle()
        check(time.monotonic() - begin < 7, f"the machine waited {time.monotonic() - begin:.1f} s")
        check(not transport.works(), "a device whose back end hangs works")
        must_idle(vm, "a back end that hangs")
        check(Monitor(vm).done("query-status")["running"], "the machine does not run")
    figures.tell("faults", "a_back_end_that_hangs", 1, "hang")


def children(vm):
    task = pathlib.Path(f"/proc/{vm.process.pid}/task")
    return [int(child) for thread in task.iterdir() for child in (thread / "children").read_text().split()]


@case
def passt_killed(nacre, plugins):
    """What the guest sends without passt is lost, its driver notices nothing else; device_del and netdev_del clear it
    away, and a new network works."""
    rounds = 5
    # Without the sandbox it is a child of the machine's own
    with machine(nacre, plugins, "-machine", "microvm", "-disable-seccomp") as vm:
        monitor = Monitor(vm)
        plug = hot_plugs(vm.scratch)["network"]
        before = None
        for number in range(rounds):
            says = plug.make(monitor)
            check(says is None, f"the network cannot be plugged: {says}")
            transport = Mmio(vm, 1, next(slot for slot in range(Mmio.SLOTS) if vm.readl(
                Mmio.BASE + slot * Mmio.STRIDE + 8) == 1))
            receiving, ring = transport.start(VERSION_1, (0, 1))
            receiving.offer(*[receiving.chain([(BUFFERS + 0x100000 + 2048 * head, 2048, True)], head)
                              for head in range(16)])
            def exchange(frames):
                for _ in range(frames):
                    ring.offer(ring.chain(NET.parts(vm)))
                    transport.notify(1)
                    ring.wait()
            exchange(3)
            vm.wait_for(receiving.is_used, "passt's answer")
            killed = children(vm)
            check(len(killed) == 1, f"the machine has the children {killed}")
            os.kill(killed[0], signal.SIGKILL)
            exchange(20)
            check(transport.works(), "the network asks for a reset")
            must_idle(vm, "a network without passt")
            vm.wait_for(lambda: "passt has ended" in vm.log(), "a word about passt")
            plug.remove(monitor)
            vm.settle()
            before = before or state(vm, monitor)
            check(state(vm, monitor) == before, f"{number + 1} networks leave {state(vm, monitor)}, not {before}")
            check(not children(vm), f"the children {children(vm)} are left")
    figures.tell("faults", "passt_killed", rounds, "kills")


def helper_of(vm):
    """The process that starts programs for a machine that may not."""
    def found():
        return [child for child in children(vm) if pathlib.Path(f"/proc/{child}/comm").read_text().strip() == "nacre-passt"]

    vm.wait_for(found, "the helper, which gives itself its name")
    helper, = found()
    return helper


@case
def the_helper_killed_or_stopped(nacre, plugins):
    """Within the sandbox, the process that starts passt is killed, or hangs: the networks that are there work on and can be
    taken away, others are refused in one sentence, and the machine waits for it once."""
    for how in (signal.SIGKILL, signal.SIGSTOP):
        with contextlib.ExitStack() as afterwards:
            with machine(nacre, plugins, "-machine", "microvm", *USER_NETWORKS) as vm:
                helper = helper_of(vm)
                afterwards.callback(_go_on, helper)
                _without_its_helper(vm, helper, how)
                begin = time.monotonic()
            check(vm.process.returncode == 0 and time.monotonic() - begin < 3,
                  f"{how.name}: ends with {vm.process.returncode} after {time.monotonic() - begin:.1f} s")
    figures.tell("faults", "the_helper_killed_or_stopped", 2, "signals")


def _go_on(process):
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


def _without_its_helper(vm, helper, how):
    monitor = Monitor(vm)
    plug = hot_plugs(vm.scratch)["network"]
    check(plug.make(monitor) is None, "the network cannot be plugged")
    os.kill(helper, how)
    transport = Mmio(vm, 1, next(slot for slot in range(Mmio.SLOTS) if vm.readl(Mmio.BASE + slot * Mmio.STRIDE + 8) == 1))
    receiving, ring = transport.start(VERSION_1, (0, 1))
    receiving.offer(*[receiving.chain([(BUFFERS + 0x100000 + 2048 * head, 2048, True)], head) for head in range(16)])
    ring.offer(ring.chain(NET.parts(vm)))
    transport.notify(1)
    ring.wait()
    vm.wait_for(receiving.is_used, "passt's answer")
    for turn in range(3):
        begin = time.monotonic()
        says = monitor.execute("netdev_add", id=f"m{turn}", type="user")["error"]["desc"]
        took = time.monotonic() - begin
        check("helper" in says and says.endswith("."), f"{how.name}: a network is refused with: {says}")
        check(took < (8 if turn == 0 else 1.5), f"{how.name}: refusal {turn} takes {took:.1f} s")
    begin = time.monotonic()
    plug.remove(monitor)
    check(time.monotonic() - begin < 1.5, f"{how.name}: device_del takes {time.monotonic() - begin:.1f} s")
    check(vm.log().count("the helper process that starts passt") == 1, f"{how.name}: the log says {vm.log()}")
    must_idle(vm, f"a helper after {how.name}")
    check(monitor.done("query-status")["running"], "the machine does not run")
