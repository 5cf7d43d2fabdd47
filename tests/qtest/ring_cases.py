"""Requests that are right in every way the queue allows, and wrong in every way (virtio 1.2 §2.7), for any device."""

from bench import case, check, needs, own_rings, thousands
from kept_memory import KeptMemory
from ring import INDIRECT, NEXT, NO_INTERRUPT, NO_NOTIFY, WRITE
from virtio import EVENT_IDX, INDIRECT_DESC, NEEDS_RESET, VERSION_1

TABLE = 0x2800000  # of indirect descriptors


def broken(bench, wrong, what, features=VERSION_1):
    """Offers a chain that the function wrong(ring) makes; the device must ask for a reset, and work after it."""
    ring = bench.start(features)
    head = wrong(ring)
    ring.offer(0 if head is None else head)
    bench.kick()
    bench.must_break(ring, what)
    bench.must_work(f"after {what}")


def judged(bench, make, what):
    """Offers the parts that make(ring) gives, which are no request, and the device's own to judge: it asks for a reset, or
    puts them into the used ring as refused, with no more bytes than it may write, and serves the next request. Returns
    whether it asked for a reset. Nothing but what is writable has changed."""
    vm, transport = bench.vm, bench.transport
    ring = bench.start()
    writes = any(writable for *_, writable in bench.device.parts(vm))
    parts = make(ring)
    ring.offer(ring.chain(parts))
    kept = KeptMemory(vm, bench.memory, ring, parts)
    bench.kick()
    vm.wait_for(lambda: ring.is_used() or transport.status() & NEEDS_RESET, f"the end {what}")
    breaks = bool(transport.status() & NEEDS_RESET)
    if breaks:
        bench.must_break(ring, what)
    else:
        head, length = ring.take()
        room = sum(length for _, length, writable in parts if writable and writes)
        check(head == 0 and length <= room, f"descriptor {head} was used for {length} bytes of {room} {what}")
        check(bench.device.refused(vm, parts), f"the device does not refuse a request {what}")
        bench.expect_interrupt(True, what)
        check(ring.used_index() == ring.seen, f"a request was used twice {what}")
    at = kept.changed()
    check(at is None, f"the device has written to {at or 0:#x} {what}")
    if not breaks:
        bench.serve(ring, what=f"after one {what}")
    bench.must_work(f"after a request {what}")
    return breaks


def must_be_judged_broken(bench, make, what):
    check(judged(bench, make, what), f"the device does not ask for a reset {what}")


# Right

@case
def many_requests_in_turn(bench):
    ring = bench.start()
    for number in range(2 * ring.size + 3):
        head = number * 3 % (ring.size - 3)
        bench.serve(ring, ring.chain(bench.device.parts(bench.vm), head), f"at request {number}")


@case
def many_requests_at_once(bench):
    ring = bench.start(size=16)
    vm, device = bench.vm, bench.device
    parts = len(device.parts(vm))
    heads = [ring.chain(device.parts(vm), number * parts) for number in range(16 // parts)]
    ring.offer(*heads)
    bench.kick(len(heads))
    vm.wait_for(lambda: ring.is_used(len(heads)), "all requests")
    check(sorted(ring.take()[0] for _ in heads) == heads, "other descriptors are used than were offered")
    bench.expect_interrupt(True)


@case
@thousands
def indices_wrap(bench):
    """65536 requests and some more: the same chain in every place of a full queue."""
    vm, device = bench.vm, bench.device
    ring = bench.start(size=256)
    head = ring.chain(device.parts(vm))
    batch = ring.size
    ring.set_heads(head)
    for _ in range(65536 // batch + 1):
        ring.advance(batch)
        bench.kick(batch)
        vm.wait_for(lambda: ring.used_index() == ring.next, "a full queue of requests")
        ring.seen = ring.next
    bench.quiet()
    bench.serve(ring, what="after the indices wrapped")


@case
@thousands
@own_rings
@needs(EVENT_IDX)
def events_wrap(bench):
    """The used and the available event stand for what they say when indices go from 65535 to 0."""
    ring = bench.start(VERSION_1 | EVENT_IDX, size=256)
    ring.set_heads(ring.chain(bench.device.parts(bench.vm)))
    for batch in [ring.size] * (65536 // ring.size - 1) + [ring.size - 8]:
        ring.advance(batch)
        bench.kick(batch)
        bench.vm.wait_for(lambda: ring.used_index() == ring.next, "a full queue of requests")
    ring.seen = ring.next
    bench.quiet()
    for number in range(16):
        ring.set_used_event(ring.seen)
        bench.serve(ring, what=f"at the used event {ring.seen}")
        bench.vm.wait_for(lambda: ring.avail_event() == ring.next, f"the wish for a kick at request {ring.next}")
        if number == 3:  # three from the end: the event lies beyond it
            ring.set_used_event(1)
            while ring.seen != 1:
                bench.serve(ring, what=f"at {ring.seen}, before the used event 1", interrupt=False)
            bench.serve(ring, what="at the used event 1")


@case
@needs(INDIRECT_DESC)
def plain_descriptors_before_an_indirect_one(bench):
    """The last of a chain alone may be indirect (virtio 1.2 §2.7.5.3)."""
    ring = bench.start(VERSION_1 | INDIRECT_DESC)
    for count in (1, 2):
        parts = bench.device.parts(bench.vm)
        (address, length, writable), *rest = parts
        third = length // 3
        parts = [(address, third, writable), (address + third, third, writable),
                 (address + 2 * third, length - 2 * third, writable), *rest]
        ring.chain(parts[:count] + [(0, 0, False)], 4)
        ring.indirect(parts[count:], TABLE, 4 + count)
        bench.serve(ring, 4, f"of {count} plain descriptors and an indirect one")


@case
@needs(INDIRECT_DESC)
def indirect_chain(bench):
    ring = bench.start(VERSION_1 | INDIRECT_DESC)
    for index in (0, ring.size - 1):
        bench.serve(ring, ring.indirect(bench.device.parts(bench.vm), TABLE, index), "by an indirect chain")


@case
def small_queues(bench):
    """A chain is never longer than its queue, by an indirect table either: requests that fit are served, others break."""
    vm, device = bench.vm, bench.device
    for size in (1, 2):
        ring = bench.start(VERSION_1 | INDIRECT_DESC, size=size)
        parts = device.parts(vm)
        if len(parts) <= size:
            for number in range(5):
                bench.serve(ring, ring.chain(parts, (number + 1) % size if len(parts) == 1 else 0),
                            f"in a queue of {size}")
                parts = device.parts(vm)
        elif device.walks_its_rings:
            ring.indirect(parts, TABLE)
            ring.offer(0)
            bench.kick()
            bench.must_break(ring, f"for a chain longer than a queue of {size}")


@case
def same_memory_in_two_chains(bench):
    vm, device = bench.vm, bench.device
    ring = bench.start()
    parts = device.parts(vm)
    ring.chain(parts, 0)
    ring.chain(parts, 8)
    ring.offer(0, 8)
    bench.kick(2)
    vm.wait_for(lambda: ring.is_used(2), "both requests")
    ring.seen += 2


@case
def kick_without_request(bench):
    ring = bench.start()
    for _ in range(20):
        bench.transport.notify(bench.device.queue)
    bench.vm.settle()
    check(ring.used_index() == 0, "a kick alone used a buffer")
    bench.expect_interrupt(False, "for a kick alone")
    bench.serve(ring)


# Interrupts and kicks that are not wanted

@case
def no_interrupt_flag(bench):
    ring = bench.start()
    ring.set_flags(NO_INTERRUPT)
    for _ in range(3):
        bench.serve(ring, what="that nobody wanted", interrupt=False)
    ring.set_flags(0)
    bench.serve(ring)


@case
@own_rings
@needs(EVENT_IDX)
def used_event(bench):
    ring = bench.start(VERSION_1 | EVENT_IDX)
    ring.set_used_event(2)
    bench.serve(ring, what="first of all", interrupt=True)
    bench.serve(ring, what="before the used event", interrupt=False)
    bench.serve(ring, what="at the used event", interrupt=True)
    bench.serve(ring, what="after the used event", interrupt=False)
    ring.set_used_event(ring.seen)
    bench.serve(ring, what="at the next used event", interrupt=True)
    ring.set_flags(NO_INTERRUPT)  # without effect beside VIRTIO_F_EVENT_IDX
    ring.set_used_event(ring.seen)
    bench.serve(ring, what="at the last used event", interrupt=True)


@case
@own_rings
@needs(EVENT_IDX)
def avail_event(bench):
    ring = bench.start(VERSION_1 | EVENT_IDX)
    for _ in range(3):
        ring.set_used_event(ring.seen)
        bench.serve(ring)
        bench.vm.wait_for(lambda: ring.avail_event() == ring.next, "the wish for a kick at the next request")


def wants_a_kick(ring, by_index):
    """Whether the device wants to be told of the last chain that was offered (virtio 1.2 §2.7.10)."""
    if by_index:
        return ring.avail_event() == (ring.next - 1) & 0xffff
    return not ring.used_flags() & NO_NOTIFY


@case
def kicks_only_where_they_are_asked_for(bench):
    """A driver that tells the device nothing else has all its requests served; a kick that is late is not too late."""
    for by_index in (False, True):
        if by_index and not bench.device.offers & EVENT_IDX or not bench.device.walks_its_rings:
            continue
        ring = bench.start(VERSION_1 | (EVENT_IDX if by_index else 0))
        for number in range(100):
            head = ring.chain(bench.device.parts(bench.vm))
            ring.offer(head)
            if number % 10 == 9:
                bench.vm.settle()
                check(wants_a_kick(ring, by_index) or ring.is_used(), "no kick is wanted, and the request is not served")
            if wants_a_kick(ring, by_index):
                bench.transport.notify(bench.device.queue)
            bench.device.provoke(bench, 1)
            check(ring.wait()[0] == head, "another descriptor is used than was offered")
        # Two at once, of which the device is told late
        heads = [ring.chain(bench.device.parts(bench.vm), first) for first in (0, 8)]
        ring.offer(*heads)
        bench.vm.settle()
        bench.kick(2)
        check([ring.wait()[0] for _ in heads] == heads, "chains that were offered together are used in another order")
        if by_index:
            bench.vm.wait_for(lambda: ring.avail_event() == ring.next, "the wish for a kick at the next request")


# Wrong

@case
@own_rings
def chain_that_loops(bench):
    def wrong(ring):
        address, length, writable = bench.device.parts(bench.vm)[0]
        ring.put(0, address, length, NEXT | (WRITE if writable else 0), 1)
        ring.put(1, address, length, NEXT | (WRITE if writable else 0), 0)
    broken(bench, wrong, "for a chain that loops")


@case
@own_rings
def chain_that_leads_out(bench):
    def wrong(ring):
        address, length, writable = bench.device.parts(bench.vm)[0]
        ring.put(0, address, length, NEXT | (WRITE if writable else 0), ring.size)
    broken(bench, wrong, "for a chain that leads out of the table")


@case
@own_rings
def head_outside(bench):
    for head in (64, 65535):
        broken(bench, lambda ring, head=head: head, f"for the head {head}")


@case
@own_rings
def index_that_jumps(bench):
    ring = bench.start()
    ring.chain(bench.device.parts(bench.vm))
    bench.vm.writew(ring.avail + 2, ring.size + 1)
    bench.kick()
    bench.must_break(ring, "for an index that jumps over the queue's size")


@case
@own_rings
def index_that_goes_back(bench):
    ring = bench.start()
    bench.serve(ring)
    bench.serve(ring)
    bench.vm.writew(ring.avail + 2, 1)
    bench.kick()
    bench.must_break(ring, "for an index that goes back")


@case
@own_rings
def address_outside_memory(bench):
    end = bench.memory
    for address, length in ((end, 16), (end - 8, 16), (0xfffffffffffffff8, 16), (1 << 63, 16), (0xb0000000, 16),
                            (0xfffffffffffff000, 0xffffffff)):
        for writable in (False, True):
            must_be_judged_broken(bench, lambda ring, part=(address, length, writable): [part],
                                  f"for {length} bytes at {address:#x}, writable {writable}")


@case
@own_rings
def chain_of_wrong_addresses_only(bench):
    def wrong(ring):
        return ring.chain([(bench.memory + 4096 * part, length, writable)
                           for part, (_, length, writable) in enumerate(bench.device.parts(bench.vm))])
    broken(bench, wrong, "for a request outside memory")


@case
@own_rings
def request_across_the_end_of_memory(bench):
    """Each part of it in turn; nothing of the others is done either."""
    for which in range(len(bench.device.parts(bench.vm))):
        def make(ring, which=which):
            parts = bench.device.parts(bench.vm)
            _, length, writable = parts[which]
            parts[which] = (bench.memory - max(length // 2, 1), max(length, 2), writable)
            return parts
        must_be_judged_broken(bench, make, f"for a part {which} across the end of memory")


@case
@own_rings
def writable_before_readable(bench):
    parts = [(0x2100000, 16, True), (0x2101000, 16, False)]
    broken(bench, lambda ring: ring.chain(parts), "for a readable part behind a writable one")


@case
@own_rings
def every_direction_turned(bench):
    judged(bench, lambda ring: [(address, length, not writable) for address, length, writable in bench.device.parts(bench.vm)],
           "with every direction turned")


@case
@own_rings
def parts_of_no_bytes(bench):
    for parts in ([(0x2100000, 0, False), (0x2100000, 0, True)], [(0x2100000, 0, True)], [(0x2100000, 0, False)]):
        must_be_judged_broken(bench, lambda ring, parts=parts: parts, f"for parts of no bytes {parts}")


@case
@own_rings
def descriptors_that_overlap(bench):
    for readable in (0x2100000, 0x2100400):
        parts = [(readable, 64, False), (readable + 8, 64, False), (0x2100010, 600, True), (0x2100000, 600, True)]
        judged(bench, lambda ring, parts=parts: parts, f"with parts that overlap, the readable ones at {readable:#x}")


@case
@own_rings
def buffers_over_the_queue_itself(bench):
    judged(bench, lambda ring: [(ring.desc, 16, False), (ring.desc, 512, True), (ring.used, 64, True)],
           "with parts over the queue itself")


@case
@own_rings
def indirect_without_feature(bench):
    def wrong(ring):
        return ring.indirect(bench.device.parts(bench.vm), TABLE)
    broken(bench, wrong, "for an indirect table that was not negotiated")


@case
@own_rings
@needs(INDIRECT_DESC)
def indirect_tables_that_are_wrong(bench):
    features = VERSION_1 | INDIRECT_DESC
    vm, device = bench.vm, bench.device

    def with_table(length, flags=INDIRECT, at=TABLE, after=0):
        def wrong(ring):
            ring.chain(device.parts(vm), 0, TABLE)
            ring.put(0, at, length, flags, after)
        return wrong

    broken(bench, with_table(0), "for an indirect table of no bytes", features)
    broken(bench, with_table(17), "for an indirect table of 17 bytes", features)
    broken(bench, with_table(16, INDIRECT | NEXT, after=1), "for an indirect table with NEXT", features)
    broken(bench, with_table(16, at=bench.memory), "for an indirect table outside memory", features)
    broken(bench, with_table(32, at=bench.memory - 16), "for an indirect table across the end of memory", features)
    broken(bench, with_table(16, at=0xfffffffffffffff0), "for an indirect table at the end of all", features)

    def nested(ring):
        ring.put(0, TABLE + 0x1000, 16, INDIRECT, 0, TABLE)
        ring.put(0, TABLE, 16, INDIRECT)
    broken(bench, nested, "for an indirect table in another", features)

    def leads_out(ring):
        ring.put(0, 0x2100000, 16, NEXT, 2, TABLE)
        ring.put(0, TABLE, 32, INDIRECT)
    broken(bench, leads_out, "for an indirect chain that leads out of its table", features)

    def loops(ring):
        ring.put(0, 0x2100000, 16, NEXT, 0, TABLE)
        ring.put(0, TABLE, 16, INDIRECT)
    broken(bench, loops, "for an indirect chain that loops", features)


@case
@own_rings
@needs(INDIRECT_DESC)
def chain_longer_than_the_queue(bench):
    """An indirect chain of more parts than the queue has entries (virtio 1.2 §2.7.5.3.1)."""
    def wrong(ring):
        ring.chain([(0x2100000 + 16 * part, 16, False) for part in range(ring.size + 1)], 0, TABLE)
        ring.put(0, TABLE, 16 * (ring.size + 1), INDIRECT)
    broken(bench, wrong, "for a chain longer than the queue", VERSION_1 | INDIRECT_DESC)


@case
@own_rings
def unknown_flags_of_descriptors(bench):
    ring = bench.start()
    parts = bench.device.parts(bench.vm)
    for number, (address, length, writable) in enumerate(parts):
        last = number + 1 == len(parts)
        ring.put(number, address, length, 0xfff8 | (WRITE if writable else 0) | (0 if last else NEXT), number + 1)
    bench.serve(ring, 0, "with flags of descriptors that are not known")


@case
def available_flags_of_every_kind(bench):
    ring = bench.start()
    for flags in (0xfffe, 0x8000, 2):
        ring.set_flags(flags)
        bench.serve(ring, what=f"with available flags {flags:#x}")


@case
@own_rings
def broken_device_stays_still(bench):
    """After NEEDS_RESET nothing is used before the reset."""
    ring = bench.start()
    ring.offer(65535)
    bench.kick()
    bench.must_break(ring, "for the head 65535")
    ring.offer(ring.chain(bench.device.parts(bench.vm)))
    bench.kick()
    bench.vm.settle()
    check(ring.used_index() == 0, "a device that needs a reset used a buffer")
    check(bench.transport.status() & NEEDS_RESET, "NEEDS_RESET went away without a reset")
    check(not bench.transport.strays(), f"a device that needs a reset told of {bench.transport.strays()}")


@case
@own_rings
def other_queues_hostile(bench):
    """Every queue of the device at once with a chain that is wrong."""
    bench.start()
    rings = bench.transport.rings
    for index, ring in rings.items():
        ring.put(0, 0x2100000, 16, NEXT, 0)
        ring.offer(0)
        bench.transport.notify(index)
    bench.vm.wait_for(lambda: bench.transport.status() & NEEDS_RESET, "NEEDS_RESET for loops in every queue")
    bench.vm.settle()
    check(all(ring.used_index() == ring.seen for ring in rings.values()), "a chain that loops was used")


@case
@own_rings
def rings_that_change_meanwhile(bench):
    ring = bench.start()
    head = ring.chain(bench.device.parts(bench.vm))
    for number in range(20):
        ring.offer(head)
        bench.kick()
        ring.put(0, (number & 15) << 60, 0xffffffff, number & 7, number)
        bench.vm.settle()
        ring.chain(bench.device.parts(bench.vm))
