"""The two virtio transports as a driver sees them (virtio 1.2 §4.1 and §4.2), with the same functions.

Both have: features(), accept(bits), status(), set_status(value), reset(), queue_max(index), select(index),
set_queue(index, size, desc, avail, used), enable(index), enabled(index), notify(index), config_load(offset, width),
config_store(offset, width, value), generation(), registers(), took_interrupt(index), took_config_interrupt(),
acknowledge(). `status_read` is the request that status() makes, `queue_select` and a number that of select().
"""

import collections

from ring import Ring

ACKNOWLEDGE, DRIVER, DRIVER_OK, FEATURES_OK, NEEDS_RESET, FAILED = 1, 2, 4, 8, 0x40, 0x80
INDIRECT_DESC, EVENT_IDX, VERSION_1 = 1 << 28, 1 << 29, 1 << 32
MRG_RXBUF = 1 << 15  # of a network device

RINGS = 0x1000000  # guest memory of the queues, 64 KiB each
RING_BYTES = 0x10000


class Transport:
    """What both have in common. `rings` are those that start() made last, by their queues' numbers."""

    CONFIG, USED, NOTHING = "configuration", "used buffers", "nothing"  # what an interrupt by a line tells of

    def __init__(self, vm):
        self.vm = vm
        self.rings = {}
        self._told = collections.Counter()  # what interrupts have told of, and nobody has asked for yet
        self._came = collections.Counter()  # the same since forget(), asked for or not
        self._used_before = {}              # forget(): each queue's used index then

    def reset(self):
        self.set_status(0)
        self.vm.wait_for(lambda: self.status() == 0, "the end of the reset")
        self.rings = {}
        self.forget()

    def start(self, features=VERSION_1, queues=(), size=None, at=RINGS):
        """Brings the device up with these features and the queues of these numbers, which stand in memory from `at` on.
        Returns their rings."""
        self.reset()
        self.set_status(ACKNOWLEDGE)
        self.set_status(ACKNOWLEDGE | DRIVER)
        self.accept(features)
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK)
        if not self.status() & FEATURES_OK:
            raise AssertionError(f"the device refuses features {features:#x}")
        self.before_queues()
        rings = []
        for index in queues:
            count = min(size or 64, self.queue_max(index))
            ring = Ring(self.vm, at + index * RING_BYTES, count)
            self.set_queue(index, count, ring.desc, ring.avail, ring.used)
            self.enable(index)
            rings.append(ring)
            self.rings[index] = ring
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK)
        return rings

    def before_queues(self):
        pass

    def source(self, queue):
        """What an interrupt of the queue tells of: used buffers of any queue where they share one line."""
        return self.USED

    def _look(self):
        """How many interrupts since the look before told of what, {source: count}. Only the lines of microvm count how
        often they were raised; elsewhere 1 stands for one or more."""
        raise NotImplementedError

    def _gather(self):
        new = self._look()
        self._told.update(new)
        self._came.update(new)

    def _took(self, source):
        self.vm.settle()
        self._gather()
        took = self._told[source] > 0
        self._told[source] -= took
        return took

    def took_interrupt(self, queue):
        """Whether the device has interrupted for the queue, once more than this was asked and true."""
        return self._took(self.source(queue))

    def took_config_interrupt(self):
        return self._took(self.CONFIG)

    def acknowledge(self):
        self._gather()
        self._acknowledge()

    def forget(self):
        """The interrupts so far."""
        self.vm.settle()
        self.acknowledge()
        self._told.clear()
        self._came.clear()
        self._used_before = {queue: ring.used_index() for queue, ring in self.rings.items()}

    def strays(self):
        """What interrupts since forget() have told of that has not happened: more of them than the queues have used
        buffers, a changed configuration of a device that does not ask for a reset; and those that told of nothing."""
        self._gather()
        happened = collections.Counter()
        for queue, ring in self.rings.items():
            happened[self.source(queue)] += (ring.used_index() - self._used_before.get(queue, 0)) & 0xffff
        if self.status() & NEEDS_RESET:
            happened[self.CONFIG] += 1
        return {source for source, count in self._came.items() if count > happened[source]}

    def of_status(self, bits):
        """What a raised line with these bits in the interrupt status tells of."""
        return {source: 1 for bit, source in ((1, self.USED), (2, self.CONFIG)) if bits & bit} or {self.NOTHING: 1}

    def works(self):
        """DRIVER_OK is set and the device does not ask for a reset."""
        status = self.status()
        return bool(status & DRIVER_OK) and not status & NEEDS_RESET


class Mmio(Transport):
    """A slot of the machine microvm."""

    BASE, STRIDE, SLOTS, FIRST_LINE = 0xf0100000, 0x200, 19, 5
    MACHINE = "microvm"
    SUFFIX = "-device"

    def __init__(self, vm, device_id, place=None):
        super().__init__(vm)
        slots = [slot for slot in range(self.SLOTS)
                 if vm.readl(self.BASE + slot * self.STRIDE + 8) == device_id and place in (None, slot)]
        if not slots:
            raise AssertionError(f"there is no virtio device {device_id} in any slot")
        self.base = self.BASE + slots[0] * self.STRIDE
        self.line = self.FIRST_LINE + slots[0]
        self.status_read, self.queue_select = f"readl {self.base + 0x70}", f"writel {self.base + 0x30}"
        vm.request("irq_intercept_in ioapic")

    def _get(self, offset):
        return self.vm.readl(self.base + offset)

    def _set(self, offset, value):
        self.vm.writel(self.base + offset, value)

    def features(self):
        value = 0
        for half in (0, 1):
            self._set(0x14, half)
            value |= self._get(0x10) << 32 * half
        return value

    def accept(self, bits):
        for half in (0, 1):
            self._set(0x24, half)
            self._set(0x20, bits >> 32 * half & 0xffffffff)

    def status(self):
        return self._get(0x70)

    def set_status(self, value):
        self._set(0x70, value)

    def select(self, index):
        self._set(0x30, index)

    def queue_max(self, index):
        self.select(index)
        return self._get(0x34)

    def set_queue(self, index, size, desc, avail, used):
        self.select(index)
        self._set(0x38, size)
        for offset, address in ((0x80, desc), (0x90, avail), (0xa0, used)):
            self._set(offset, address & 0xffffffff)
            self._set(offset + 4, address >> 32)

    def enable(self, index, value=1):
        self.select(index)
        self._set(0x44, value)

    def enabled(self, index):
        self.select(index)
        return self._get(0x44)

    def notify(self, index):
        self._set(0x50, index)

    def config_load(self, offset, width):
        return self.vm.load(self.base + 0x100 + offset, width)

    def config_store(self, offset, width, value):
        self.vm.store(self.base + 0x100 + offset, width, value)

    def generation(self):
        return self._get(0xfc)

    def registers(self):
        """The addresses of all of them."""
        return [self.base + offset for offset in range(0, 0x100, 4)]

    def _raises(self):
        """How often the line was raised since this was asked last."""
        count = self.vm.irqs.count(("raise", self.line))
        self.vm.irqs[:] = [irq for irq in self.vm.irqs if irq[1] != self.line]
        return count

    def _look(self):
        """The bit for used buffers says nothing here: it is set as long as the device is active, so that an interrupt
        needs no exit. The one for the configuration does; what is raised without it is for used buffers."""
        raises = self._raises()
        if not raises:
            return {}
        status = self._get(0x60)
        if not status & 1:
            return {self.NOTHING: raises}
        if not status & 2:
            return {self.USED: raises}
        self._set(0x64, 2)  # the next one is another
        self.vm.settle()    # the bit is there before its interrupt is
        return {self.USED: raises + self._raises() - 1, self.CONFIG: 1}

    def _acknowledge(self):
        self._set(0x64, self._get(0x60))


class PciTransport(Transport):
    """A function of the machine q35, with MSI-X or with its pin."""

    MACHINE = "q35"
    SUFFIX = "-pci"
    MESSAGES = 0xfee00000

    def __init__(self, vm, function, pin=False):
        super().__init__(vm)
        self.function, self.pin = function, pin
        function.map_bars()
        capabilities = {kind: place for kind, place in function.virtio_capabilities()}
        self.common, self.isr, self.config = (capabilities[kind].address for kind in (1, 3, 4))
        self.notify_base = capabilities[2].address
        self.status_read, self.queue_select = f"readb {self.common + 20}", f"writew {self.common + 22}"
        self.multiplier = capabilities[2].multiplier
        if not pin:
            function.enable_msix(self.MESSAGES)

    def before_queues(self):
        if self.pin:
            return
        self.vm.writew(self.common + 16, 0)
        for index in range(self.vm.readw(self.common + 18)):
            self.select(index)
            self.vm.writew(self.common + 26, min(index + 1, self.function.vectors - 1))

    def features(self):
        value = 0
        for half in (0, 1):
            self.vm.writel(self.common, half)
            value |= self.vm.readl(self.common + 4) << 32 * half
        return value

    def accept(self, bits):
        for half in (0, 1):
            self.vm.writel(self.common + 8, half)
            self.vm.writel(self.common + 12, bits >> 32 * half & 0xffffffff)

    def status(self):
        return self.vm.readb(self.common + 20)

    def set_status(self, value):
        self.vm.writeb(self.common + 20, value)

    def select(self, index):
        self.vm.writew(self.common + 22, index)

    def queue_max(self, index):
        self.select(index)
        return self.vm.readw(self.common + 24)

    def set_queue(self, index, size, desc, avail, used):
        self.select(index)
        self.vm.writew(self.common + 24, size)
        for offset, address in ((32, desc), (40, avail), (48, used)):
            self.vm.writel(self.common + offset, address & 0xffffffff)
            self.vm.writel(self.common + offset + 4, address >> 32)

    def enable(self, index, value=1):
        self.select(index)
        self.vm.writew(self.common + 28, value)

    def enabled(self, index):
        self.select(index)
        return self.vm.readw(self.common + 28)

    def notify(self, index):
        self.select(index)
        self.vm.writew(self.notify_base + self.vm.readw(self.common + 30) * self.multiplier, index)

    def config_load(self, offset, width):
        return self.vm.load(self.config + offset, width)

    def config_store(self, offset, width, value):
        self.vm.store(self.config + offset, width, value)

    def generation(self):
        return self.vm.readb(self.common + 21)

    def registers(self):
        return [start + offset for start in (self.common, self.isr, self.notify_base) for offset in range(0, 64, 2)]

    def source(self, queue):
        return self.USED if self.pin else min(queue + 1, self.function.vectors - 1) or self.CONFIG

    def _look(self):
        if self.pin:
            return self.of_status(self.vm.readb(self.isr)) if self.vm.line_is_up(self.function.line) else {}
        vectors = range(self.function.vectors)
        sent = self.vm.requests([f"query_msix {self.MESSAGES} {self.function.FIRST_DATA + vector}" for vector in vectors])
        return {vector or self.CONFIG: 1 for vector, answer in zip(vectors, sent) if answer == "TRUE"}

    def _acknowledge(self):
        self.vm.readb(self.isr)
