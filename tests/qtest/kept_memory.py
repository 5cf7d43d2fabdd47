"""What a request must leave as it is: all but its writable parts and the used ring."""

PAD = 64
CANARY = b"\xcc"


class KeptMemory:
    """Taken before the request is offered: the parts that the device may only read, PAD bytes beside each part, the
    queue's table and available ring, and both ends of guest memory."""

    def __init__(self, vm, memory, ring, parts):
        self.vm = vm
        self.may_change = [(address, address + length) for address, length, writable in parts if writable]
        self.may_change.append((ring.used, ring.used + 6 + 8 * ring.size))
        queue = [(ring.desc, ring.desc + 16 * ring.size), (ring.avail, ring.avail + 6 + 2 * ring.size)]
        around = [(max(address - PAD, 0), min(address + length + PAD, memory)) for address, length, _ in parts
                  if address < memory]
        taken = [*queue, *self.may_change, *((address, address + length) for address, length, _ in parts)]
        for begin, end in around:
            for first, last in without(taken, begin, end):
                vm.write(first, CANARY * (last - first))
        self.ends = [(0, 4096), (memory - 4096, memory)]
        self.before = {where: vm.read(where[0], where[1] - where[0]) for where in (*queue, *around, *self.ends)}

    def changed(self):
        """The first address that is not as it was and should be, or None."""
        for (begin, end), before in self.before.items():
            now = self.vm.read(begin, end - begin)
            for first, last in without(self.may_change, begin, end):
                for at in range(first, last):
                    if now[at - begin] != before[at - begin]:
                        return at
        return None


def without(ranges, begin, end):
    """What is left of [begin, end) without the ranges, as such ranges."""
    for first, last in sorted(ranges):
        if last <= begin or first >= end:
            continue
        if first > begin:
            yield begin, first
        begin = max(begin, last)
    if begin < end:
        yield begin, end
