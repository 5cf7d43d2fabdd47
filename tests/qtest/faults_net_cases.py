"""A tap that goes down or is removed, in a network namespace of the test's own. What is promised: ../faults.md."""

import contextlib
import ctypes
import functools
import os
import socket
import subprocess

import devices
import figures
from bench import case, check
from devices import BUFFERS
from faults_host_cases import state
from known_faults import machine, must_idle
from known_faults_host_cases import Monitor
from virtio import VERSION_1, Mmio

CLONE_NEWNET = 0x40000000
NET = devices.ALL["net"]
ETH_P_ALL = 3


@functools.cache
def own_network():
    """This process has a network of its own from now on, in which it may make taps; whether that is so."""
    libc = ctypes.CDLL(None, use_errno=True)
    return os.path.exists("/dev/net/tun") and not libc.unshare(CLONE_NEWNET) and ip("link set lo up")


NEEDS = ("tun", own_network)


def ip(words):
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True)
    if done.returncode:
        print(f"ip {words}: {done.stderr.strip()}")
    return done.returncode == 0


def make_tap(queues=1):
    check(ip("tuntap add t0 mode tap" + (" multi_queue" if queues > 1 else "")) and ip("link set t0 up"),
          "the tap cannot be made")


class Network:
    """A driver of the network device, with buffers for what it receives; the host's end of the tap."""

    def __init__(self, vm):
        self.vm = vm
        self.transport = Mmio(vm, 1, next(slot for slot in range(Mmio.SLOTS)
                                          if vm.readl(Mmio.BASE + slot * Mmio.STRIDE + 8) == 1))
        self.receiving, self.sending = self.transport.start(VERSION_1, (0, 1))
        self.receiving.offer(*[self.receiving.chain([(BUFFERS + 0x100000 + 2048 * head, 2048, True)], head)
                               for head in range(32)])
        self.transport.notify(0)

    def send(self, frames=1):
        """Each must be given back, sent or lost."""
        for _ in range(frames):
            self.sending.offer(self.sending.chain(NET.parts(self.vm)))
            self.transport.notify(1)
            self.sending.wait()


@contextlib.contextmanager
def host_side():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL)) as raw:
        raw.bind(("t0", ETH_P_ALL))
        raw.settimeout(5)
        yield raw


def works(network):
    """Frames go both ways."""
    with host_side() as raw:
        network.send()
        while raw.recv(2048)[:len(NET.frame())] != NET.frame():
            pass
        seen = network.receiving.used_index()
        # For a moment after it has come up, the host drops what it sends through an interface
        network.vm.wait_for(lambda: raw.send(NET.frame()) and network.receiving.used_index() != seen,
                            "a frame from the host")


@case
def tap_down(nacre, plugins):
    """What the guest sends while the interface is down is lost; when it is up again, frames go both ways."""
    rounds = 10
    make_tap()
    try:
        with machine(nacre, plugins, "-machine", "microvm", "-netdev", "tap,id=n,ifname=t0", "-device",
                     "virtio-net-device,netdev=n,id=n") as vm:
            network, monitor = Network(vm), Monitor(vm)
            works(network)
            for number in range(rounds):
                check(ip("link set t0 down"), "down")
                network.send(5)
                if number == 0:
                    must_idle(vm, "a tap that is down")
                check(ip("link set t0 up"), "up")
                works(network)
            check(network.transport.works() and monitor.done("query-status")["running"], "the device asks for a reset")
    finally:
        ip("link del t0")
    figures.tell("faults", "tap_down", rounds, f"times, {5 * rounds} frames given up")


@case
def tap_removed(nacre, plugins):
    """The interface is deleted while the guest uses it: the guest goes on without that network; device_del clears it
    away, and with a new interface a new device works."""
    rounds = 5
    with machine(nacre, plugins, "-machine", "microvm") as vm:
        monitor = Monitor(vm)
        before = None
        for number in range(rounds):
            make_tap()
            monitor.done("netdev_add", id="n", type="tap", ifname="t0")
            monitor.done("device_add", id="n", driver="virtio-net-mmio", netdev="n", addr="0x0")
            network = Network(vm)
            works(network)
            check(ip("link del t0"), "the tap cannot be deleted")
            network.send(20)
            must_idle(vm, "a tap that is gone")
            check(network.transport.works() and monitor.done("query-status")["running"], "the device asks for a reset")
            monitor.done("device_del", id="n")
            monitor.wait_for("DEVICE_DELETED")
            vm.settle()
            before = before or state(vm, monitor)
            check(state(vm, monitor) == before, f"{number + 1} taps leave {state(vm, monitor)}, not {before}")
    figures.tell("faults", "tap_removed", rounds, f"times, {20 * rounds} frames given up")
