"""The driver's side of a split virtqueue (virtio 1.2 §2.7) in guest memory, with nothing that keeps it from mistakes."""

import struct

NEXT, WRITE, INDIRECT = 1, 2, 4  # flags of descriptors
NO_INTERRUPT = 1                 # of the available ring
NO_NOTIFY = 1                    # of the used ring


class Ring:
    """A queue of `size` entries whose three parts stand at `base`, `base` + 0x4000 and `base` + 0x8000."""

    def __init__(self, vm, base, size):
        self.vm = vm
        self.size = size
        self.desc, self.avail, self.used = base, base + 0x4000, base + 0x8000
        self.clear()

    def clear(self):
        """As before the first request."""
        self.vm.write(self.desc, bytes(16 * max(self.size, 1)))
        self.vm.write(self.avail, bytes(6 + 2 * max(self.size, 1)))
        self.vm.write(self.used, bytes(6 + 8 * max(self.size, 1)))
        self.next = 0  # the available index
        self.seen = 0  # the used index up to which used() has looked

    def put(self, index, address, length, flags=0, after=0, table=None):
        """Writes one descriptor, of the queue or of an indirect table."""
        self.vm.write((self.desc if table is None else table) + 16 * index,
                      struct.pack("<QIHH", address, length, flags, after))

    def chain(self, parts, first=0, table=None):
        """Descriptors from `first` on for parts (address, length, writable), chained; returns the head."""
        for number, (address, length, writable) in enumerate(parts):
            last = number == len(parts) - 1
            self.put(first + number, address, length, (WRITE if writable else 0) | (0 if last else NEXT),
                     0 if last else first + number + 1, table)
        return first

    def indirect(self, parts, table, index=0):
        """The same in an indirect table at `table`, which descriptor `index` of the queue points at."""
        self.chain(parts, 0, table)
        self.put(index, table, 16 * len(parts), INDIRECT)
        return index

    def offer(self, *heads):
        """Makes the chains available; the device is not told."""
        for head in heads:
            self.vm.writew(self.avail + 4 + 2 * (self.next % self.size), head)
            self.next = (self.next + 1) & 0xffff
        self.vm.writew(self.avail + 2, self.next)

    def set_heads(self, head):
        """The same head in every place; advance() then offers it so many times."""
        self.vm.write(self.avail + 4, struct.pack("<H", head) * self.size)

    def advance(self, count):
        self.next = (self.next + count) & 0xffff
        self.vm.writew(self.avail + 2, self.next)

    def set_flags(self, flags):
        self.vm.writew(self.avail, flags)

    def set_used_event(self, index):
        """With VIRTIO_F_EVENT_IDX: interrupt when the used index passes this one."""
        self.vm.writew(self.avail + 4 + 2 * self.size, index & 0xffff)

    def avail_event(self):
        return self.vm.readw(self.used + 4 + 8 * self.size)

    def used_flags(self):
        return self.vm.readw(self.used)

    def used_index(self):
        return self.vm.readw(self.used + 2)

    def is_used(self, count=1):
        return (self.used_index() - self.seen) & 0xffff >= count

    def take(self):
        """The next used element as (head, length); one must be there."""
        head, length = struct.unpack("<II", self.vm.read(self.used + 4 + 8 * (self.seen % self.size), 8))
        self.seen = (self.seen + 1) & 0xffff
        return head, length

    def wait(self):
        """The same when it comes."""
        self.vm.wait_for(self.is_used, "a used buffer")
        return self.take()
