"""A virtio device of a machine without vCPUs, as the cases get it, and the lists of cases."""

import pathlib

import pci
import qtest
from virtio import NEEDS_RESET, VERSION_1, Mmio, PciTransport

CASES = {}  # module -> {name: function}


def case(function):
    """Makes the function a case of its module; it is called with the suite's bench."""
    CASES.setdefault(function.__module__, {})[function.__name__] = function
    return function


def needs(features):
    """The case is one of devices that offer these of the ring's features (Device.offers)."""
    def mark(function):
        function.features = features
        return function
    return mark


def check(condition, complaint):
    if not condition:
        raise AssertionError(complaint)


def own_rings(function):
    """The case is one of devices that walk their rings themselves: with what it puts there, another process would end."""
    function.own_rings = True
    return function


def thousands(function):
    """The case makes so many requests, which a device with a slow source (Device.slow) would need minutes for."""
    function.thousands = True
    return function


class Bench:
    """`vm` with `device` behind `transport`; after each case, must_work()."""

    memory = 128 << 20

    def __init__(self, nacre, plugins, device, transport):
        self.made_of = (nacre, plugins, device, transport)
        self._make(*self.made_of)

    def _make(self, nacre, plugins, device, transport):
        kind = {"mmio": Mmio, "pci": PciTransport, "pin": PciTransport}[transport]
        self.device = device
        self.preload = device.preload and pathlib.Path(nacre).parent / "tests/qtest" / device.preload
        self.vm = qtest.Machine(nacre, plugins,
                                ["-machine", kind.MACHINE + device.machine, *device.arguments(kind.SUFFIX)],
                                prepare=device.prepare, preload=self.preload)
        try:
            if kind is Mmio:
                self.transport = Mmio(self.vm, device.id)
            else:
                function, = pci.find(self.vm, 0x1af4, 0x1040 + device.id)
                self.transport = PciTransport(self.vm, function, pin=transport == "pin")
        except BaseException:
            self.close()
            raise

    def close(self):
        try:
            self.vm.close()
        finally:
            self.device.end()

    def renew(self):
        """Another machine of the same kind, for a case after which this one's device cannot work."""
        self.close()
        self._make(*self.made_of)

    def start(self, features=VERSION_1, size=None):
        """Brings the device up with those of the features that it offers; the ring of the queue that its requests go
        to."""
        return self.start_with((features | self.device.features) & self.transport.features(), size)

    def start_with(self, features, size=None):
        rings = self.transport.start(features, self.device.queues, size)
        self.device.before(self, rings)
        self.quiet()
        return rings[self.device.queues.index(self.device.queue)]

    def quiet(self):
        """Forgets the interrupts so far."""
        self.transport.forget()

    def kick(self, count=1):
        """Tells the device of what was made available, as many requests."""
        self.transport.notify(self.device.queue)
        self.device.provoke(self, count)

    def serve(self, ring, head=None, what="", interrupt=True):
        """One request of the device, made available as `head`; it must be served, with its interrupt or without."""
        if head is None:
            head = ring.chain(self.device.parts(self.vm))
        ring.offer(head)
        self.kick()
        used, length = ring.wait()
        check(used == head, f"descriptor {used} is used, not {head} {what}")
        self.device.check(self.vm, length)
        self.expect_interrupt(interrupt, what)

    def expect_interrupt(self, wanted, what=""):
        if wanted:
            self.vm.wait_for(lambda: self.transport.took_interrupt(self.device.queue), f"the interrupt {what}")
        else:
            check(not self.transport.took_interrupt(self.device.queue), f"an interrupt came {what}")
        check(not self.transport.strays(), f"interrupts came that told of {self.transport.strays()} {what}")
        self.quiet()

    def must_break(self, ring, what):
        """The device has found out that its driver is wrong: it asks for a reset and interrupts for it."""
        self.vm.wait_for(lambda: self.transport.status() & NEEDS_RESET, f"NEEDS_RESET {what}")
        self.vm.wait_for(self.transport.took_config_interrupt, f"the configuration interrupt {what}")
        check(ring.used_index() == ring.seen, f"the device used a buffer {what}")
        check(not self.transport.strays(), f"interrupts came that told of {self.transport.strays()} {what}")
        self.transport.acknowledge()

    def must_work(self, what):
        self.serve(self.start(), what=what)
