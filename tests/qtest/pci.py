"""PCI functions of the machine q35, through its ECAM or through its configuration ports."""

import collections

ECAM = 0xb0000000
WINDOW = 0xc0000000
PORTS = 0x6000
FIRST_LINE = 16  # of the four that INTx ends at
COMMAND, HEADER, BAR0, CAPABILITIES, PIN = 0x04, 0x0e, 0x10, 0x34, 0x3d
IO, MEMORY, MASTER, NO_PIN = 1, 2, 4, 0x400
VENDOR_SPECIFIC, MSIX = 9, 0x11

Place = collections.namedtuple("Place", "address length multiplier")


def port_read(vm, bus, slot, offset):
    """A register by ports 0xCF8 and 0xCFC."""
    vm.outl(0xcf8, 1 << 31 | bus << 16 | slot << 11 | offset & 0xfc)
    return vm.inl(0xcfc)


def find(vm, vendor, device, buses=1):
    """The functions 0 with these ids."""
    return [Function(vm, bus, slot) for bus in range(buses) for slot in range(32)
            if vm.readl(ECAM + (bus << 20 | slot << 15)) == vendor | device << 16]


class Function:
    FIRST_DATA = 0x40  # of messages: vector v sends this + v

    def __init__(self, vm, bus, slot):
        self.vm, self.bus, self.slot = vm, bus, slot
        self.base = ECAM + (bus << 20 | slot << 15)
        self.line = FIRST_LINE + (slot + self.load(PIN, 1) - 1) % 4
        self.bars = {}
        self.vectors = 0

    def load(self, offset, width):
        return self.vm.load(self.base + offset, width)

    def store(self, offset, width, value):
        self.vm.store(self.base + offset, width, value)

    def capabilities(self):
        """(id, offset) of each."""
        offset = self.load(CAPABILITIES, 1)
        while offset:
            yield self.load(offset, 1), offset
            offset = self.load(offset + 1, 1)

    def size_bar(self, number):
        """Its length in bytes and its kind bits; (0, 0) where there is none. It keeps its address."""
        offset = BAR0 + 4 * number
        before = self.load(offset, 4)
        self.store(offset, 4, 0xffffffff)
        mask = self.load(offset, 4)
        self.store(offset, 4, before)
        if not mask:
            return 0, 0
        low = mask & (0xfffffffc if mask & 1 else 0xfffffff0)
        high = 0xffffffff
        if mask & 7 == 4:
            above = self.load(offset + 4, 4)
            self.store(offset + 4, 4, 0xffffffff)
            high = self.load(offset + 4, 4)
            self.store(offset + 4, 4, above)
        return (~(high << 32 | low) + 1) & ((1 << 64) - 1), mask & 0xf

    def map_bars(self):
        """Gives every BAR an address by its slot and switches the function on."""
        self.store(COMMAND, 2, 0)
        at = WINDOW + (self.bus * 32 + self.slot) * 0x100000
        number = 0
        while number < 6:
            length, kind = self.size_bar(number)
            if length:
                place = PORTS + self.slot * 0x100 if kind & 1 else (at + length - 1) // length * length
                self.store(BAR0 + 4 * number, 4, place)
                if kind & 4:
                    self.store(BAR0 + 4 * number + 4, 4, 0)
                self.bars[number] = place
                at = at if kind & 1 else place + length
            number += 2 if kind & 7 == 4 else 1
        self.store(COMMAND, 2, IO | MEMORY | MASTER)

    def virtio_capabilities(self):
        """(cfg_type, Place) of each virtio structure that stands in a BAR (virtio 1.2 §4.1.4), the first of a type."""
        seen = set()
        for kind, offset in self.capabilities():
            if kind != VENDOR_SPECIFIC:
                continue
            what, bar = self.load(offset + 3, 1), self.load(offset + 4, 1)
            if what in seen or bar not in self.bars:
                continue
            seen.add(what)
            yield what, Place(self.bars[bar] + self.load(offset + 8, 4), self.load(offset + 12, 4),
                              self.load(offset + 16, 4) if what == 2 else 0)

    def enable_msix(self, address):
        """Every vector sends FIRST_DATA and its number to `address`."""
        at = next(offset for kind, offset in self.capabilities() if kind == MSIX)
        self.vectors = (self.load(at + 2, 2) & 0x7ff) + 1
        table = self.load(at + 4, 4)
        self.table = self.bars[table & 7] + (table & ~7)
        for vector in range(self.vectors):
            entry = self.table + 16 * vector
            self.vm.writel(entry, address)
            self.vm.writel(entry + 4, 0)
            self.vm.writel(entry + 8, self.FIRST_DATA + vector)
            self.vm.writel(entry + 12, 0)
        self.store(at + 2, 2, 0x8000)
