"""Known faults of others in queues and negotiation, of every device on both transports. Rows: ../known-faults.md."""

import struct

import devices
import pci
from bench import case, check
from devices import BUFFERS, CONTENT
from known_faults import EVERYONE, GIB, every_device, machine, must_not_grow, open_files, status
from management import Management
from negotiation_cases import must_not_serve
from ring import INDIRECT, NEXT, WRITE, Ring
from virtio import (ACKNOWLEDGE, DRIVER, DRIVER_OK, FAILED, FEATURES_OK, INDIRECT_DESC, NEEDS_RESET, RINGS, VERSION_1,
                    Mmio, PciTransport)

READY = ACKNOWLEDGE | DRIVER | FEATURES_OK
DISK = devices.ALL["blk"]
AT_ONCE = 64  # accesses, before the device's status is looked at


@case
def row_01_queue_registers_after_activation(nacre, plugins):
    """Sizes, addresses and features of a queue that works are what they were, whatever is written to them."""
    def try_it(bench):
        t, queue = bench.transport, bench.device.queue
        ring = bench.start()
        for size in (0, 1, 3, 128, 32768, 65535):
            for address in (0, 1, 0x100, bench.memory - 16, (1 << 64) - 16):
                t.set_queue(queue, size, address, address, address)
            t.accept((1 << 64) - 1)
            bench.serve(ring, what=f"after its size was set to {size} while it works")
        t.set_queue(queue, 0, 0, 0, 0)
        t.enable(queue)
        t.set_status(READY | DRIVER_OK)
        bench.serve(ring, what="after it was enabled again")
        # A driver may stop one queue by MMIO; what it sets up then is nothing that the device has agreed to.
        if isinstance(t, Mmio):
            t.enable(queue, 0)
            t.set_queue(queue, 32768, bench.memory - 16, 1, 2)
            t.enable(queue)
            for _ in range(3):
                t.notify(queue)
            bench.vm.settle()
            ring = bench.start()
        if bench.device.walks_its_rings:
            ring.put(0, BUFFERS, 16, NEXT, 0)
            ring.offer(0)
            t.notify(queue)
            bench.must_break(ring, "for a loop")
        else:
            t.reset()
            t.set_status(ACKNOWLEDGE | DRIVER)
            t.accept(VERSION_1)
            t.set_status(READY)
            t.set_queue(queue, 3, RINGS, RINGS + 0x4000, RINGS + 0x8000)
            t.enable(queue)
            t.set_status(READY | DRIVER_OK)
            bench.vm.wait_for(lambda: t.status() & NEEDS_RESET, "NEEDS_RESET for a queue of 3 entries")
        for size in (0, 32768):
            t.set_queue(queue, size, RINGS, RINGS + 0x4000, RINGS + 0x8000)
            t.enable(queue)
            t.notify(queue)
        check(t.status() & NEEDS_RESET, "a device that needs a reset works again without one")
    every_device(nacre, plugins, try_it, EVERYONE)


def ways_to_each_status(bench):
    """{status: what brings the device there}."""
    t, queue = bench.transport, bench.device.queue

    def set_to(*statuses):
        def way():
            t.reset()
            for status in statuses:
                t.set_status(status)
                if status == ACKNOWLEDGE | DRIVER:
                    t.accept(VERSION_1)
        return way

    def failed():
        bench.start()
        t.set_status(READY | DRIVER_OK | FAILED)

    def broken():
        set_to(ACKNOWLEDGE | DRIVER, READY)()
        t.set_queue(queue, 3, RINGS, RINGS + 0x4000, RINGS + 0x8000)
        t.enable(queue)
        t.set_status(READY | DRIVER_OK)

    return {0: t.reset, ACKNOWLEDGE: set_to(ACKNOWLEDGE), ACKNOWLEDGE | DRIVER: set_to(ACKNOWLEDGE | DRIVER),
            DRIVER_OK: set_to(DRIVER_OK), FAILED: set_to(FAILED), READY: set_to(ACKNOWLEDGE | DRIVER, READY),
            READY | FAILED: set_to(ACKNOWLEDGE | DRIVER, READY, READY | FAILED), READY | DRIVER_OK: bench.start,
            READY | DRIVER_OK | FAILED: failed, READY | DRIVER_OK | NEEDS_RESET: broken}


@case
def row_01_every_register_in_every_status(nacre, plugins):
    """Each is read and written by every width, of every queue; a device that was at work serves on where the write has
    left its status alone, and any device works after a reset."""
    widths = {"b": 0xff, "w": 0xffff, "l": 0xffffffff, "q": 0xffffffffffffffff}

    def try_it(bench):
        t, vm = bench.transport, bench.vm
        for status, way in ways_to_each_status(bench).items():
            for queue in bench.device.queues:
                def bring_there():
                    ring = way()
                    check(t.status() == status, f"the status is {t.status():#x}, not {status:#x}")
                    t.select(queue)
                    return ring

                ring = bring_there()
                tries = [(address, letter, value) for address in t.registers() for letter, most in widths.items()
                         for value in (0, most)]
                while tries:
                    now = tries[:AT_ONCE]
                    answers = vm.requests([line for address, letter, value in now for line in (
                        f"{t.queue_select} {queue}", f"read{letter} {address}", f"write{letter} {address} {value}",
                        t.status_read)])
                    done = next((at + 1 for at, seen in enumerate(answers[3::4]) if int(seen, 16) != status), 0)
                    tries = tries[done or len(now):]
                    if done:
                        ring = bring_there()
                t.select(queue)
                if status == READY | DRIVER_OK and bench.device.walks_its_rings:
                    t.forget()
                    ring.offer(ring.chain(bench.device.parts(vm)))
                    bench.kick()
                    bench.device.check(vm, ring.wait()[1])
            bench.must_work(f"after every register was written to with status {status:#x}")
    every_device(nacre, plugins, try_it, EVERYONE)


@case
def row_03_descriptors_at_every_edge(nacre, plugins):
    """Shorter than any header, over the end of RAM, and over the hole below 4 GiB that RAM leaves free."""
    above = GIB // 4  # of RAM behind the hole
    for kind, low in ((Mmio, 3 * GIB), (PciTransport, 2 * GIB)):
        for name in ("blk", "rng", "balloon", "console", "net"):
            device = devices.ALL[name]
            with machine(nacre, plugins, "-machine", kind.MACHINE, *device.arguments(kind.SUFFIX),
                         memory=f"{(low + above) >> 20}M", prepare=device.prepare) as vm:
                t = Mmio(vm, device.id) if kind is Mmio else \
                    PciTransport(vm, pci.find(vm, 0x1af4, 0x1040 + device.id)[0])
                check(vm.readb(low - 1) == 0 and vm.readb(low) == 0xff, f"RAM does not end at {low:#x}")
                end = 4 * GIB + above
                check(vm.readb(end - 1) == 0 and vm.readb(end) == 0xff, f"RAM does not end at {end:#x}")
                edges = {at: bytes(range(64)) for at in (low - 64, 4 * GIB, end - 64)}
                for at, content in edges.items():
                    vm.write(at, content)

                def start():
                    t.start(VERSION_1, device.queues)
                    t.forget()
                    return t.rings[device.queue]

                for address, length, breaks in (
                        (low - 8, 16, True), (low - 1, 2, True), (low, 16, True), (low - 16, 2 * GIB + 32, True),
                        (end - 8, 16, True), (4 * GIB - 8, 16, True), (low - 4096, 0xffffffff, True), (BUFFERS, 1, False),
                        (BUFFERS, 15, False), (BUFFERS, 0, True)):
                    for writable in (False, True):
                        what = f"{name} on {kind.MACHINE}: {length} bytes at {address:#x}, writable {writable}"
                        ring = start()
                        ring.offer(ring.chain([(address, length, writable)]))
                        t.notify(device.queue)
                        vm.wait_for(lambda: ring.is_used() or t.status() & NEEDS_RESET, f"the end of {what}")
                        if breaks or t.status() & NEEDS_RESET:
                            vm.wait_for(lambda: t.status() & NEEDS_RESET, f"NEEDS_RESET for {what}")
                            vm.wait_for(t.took_config_interrupt, f"the configuration interrupt for {what}")
                            check(ring.used_index() == 0, f"{what} is used")
                        else:
                            head, written = ring.take()
                            check(head == 0 and written <= length * writable, f"{what}: {written} bytes were written")
                            vm.wait_for(lambda: t.took_interrupt(device.queue), f"the interrupt for {what}")
                        check(not t.strays(), f"{what}: interrupts told of {t.strays()}")
                        for at, content in edges.items():
                            check(vm.read(at, 64) == content, f"{what}: the edge at {at:#x} was written to")
                ring = start()
                ring.offer(ring.chain(device.parts(vm)))
                t.notify(device.queue)
                device.check(vm, ring.wait()[1])
                # The first bytes below the hole, and above it, are RAM like any other.
                for at in (low - 0x3000, 4 * GIB):
                    ring.offer(ring.chain(device.parts(vm, at)))
                    t.notify(device.queue)
                    device.check(vm, ring.wait()[1], at)


def throttled(nacre, plugins, *more, name="microvm"):
    suffix = "-device" if name == "microvm" else "-pci"
    bus = "" if name == "microvm" else ",bus=pcie.0,addr=0x4"
    return machine(nacre, plugins, "-machine", name, "-drive",
                   "id=d,file=SCRATCH/disk,direct=off,throttling.iops-total=1", "-device",
                   f"virtio-blk{suffix},drive=d,id=d{bus}", *more, prepare=DISK.prepare)


@case
def row_12_request_changed_while_it_waits(nacre, plugins):
    """A read that waits for its drive's limit stays that read, of that sector and to those bytes, though the driver
    makes of its head, and of its descriptors, a write beyond the end into other memory."""
    with throttled(nacre, plugins) as vm:
        t = Mmio(vm, 2)
        ring, = t.start(VERSION_1, (0,))
        ring.offer(ring.chain(DISK.parts(vm)))
        t.notify(0)
        ring.wait()
        head = ring.chain(DISK.parts(vm), 8)
        ring.offer(head)
        t.notify(0)
        vm.settle()
        check(not ring.is_used(), "the drive's limit lets a second request through: the test has nothing to change")
        vm.write(BUFFERS, struct.pack("<IIQ", 1, 0, 1 << 60))
        other = BUFFERS + 0x100000
        vm.write(other, b"\xee" * 4096)
        for index in range(8, 11):
            ring.put(index, other, 0xffffffff, NEXT | WRITE, 65535)
        vm.writew(ring.avail + 6, 63)
        t.notify(0)
        vm.clock_step(2_000_000_000)
        check(ring.wait() == (head, 513), "another request is used than was offered")
        DISK.check(vm, 513)
        check(vm.read(other, 4096) == b"\xee" * 4096, "the device wrote to where the descriptors pointed later")
        check((vm.scratch / "disk").read_bytes() == CONTENT, "a read has written to the disk")


@case
def row_12_head_changed_between_two_kicks(nacre, plugins):
    def try_it(bench):
        t, vm, device = bench.transport, bench.vm, bench.device
        ring = bench.start()
        first = ring.chain(device.parts(vm), 0)
        second = ring.chain(device.parts(vm), 20)
        for _ in range(10):
            ring.offer(first)
            vm.writew(ring.avail + 4 + 2 * ((ring.next - 1) % ring.size), second)
            t.notify(device.queue)
            check(ring.wait()[0] == second, "the head before the change was used")
            vm.writew(ring.avail + 4 + 2 * ((ring.next - 1) % ring.size), first)
            t.notify(device.queue)
            vm.settle()
            check(not ring.is_used(), "a head that changed after it was used was used again")
    every_device(nacre, plugins, try_it)


@case
def row_21_status_bits_in_every_order(nacre, plugins):
    """From every status that a driver may have reached, every byte: bits do not go but by 0, none that is the device's to
    set comes from the driver, and where one is skipped the device stays inactive."""
    def try_it(bench):
        t = bench.transport
        for before in (ACKNOWLEDGE, ACKNOWLEDGE | DRIVER, READY):
            for value in (*range(1, 16), NEEDS_RESET, NEEDS_RESET | READY, 0x10, 0x20, FAILED | READY | DRIVER_OK):
                t.reset()
                t.set_status(before & (ACKNOWLEDGE | DRIVER))
                t.accept(VERSION_1)
                if before & FEATURES_OK:
                    t.set_status(before)
                check(t.status() == before, f"the status is {t.status():#x} and not {before:#x}")
                t.set_status(value)
                after = t.status()
                if not bench.device.walks_its_rings and after & DRIVER_OK:  # another may need queues, which are not there
                    after &= ~NEEDS_RESET
                check(after & before == before, f"{value:#x} took bits away: from {before:#x} to {after:#x}")
                check(not after & ~(before | value), f"{value:#x} after {before:#x} became {after:#x}")
                check(not after & (NEEDS_RESET | 0x30), f"the driver has set bits of the device's: {after:#x}")
                check(not after & FEATURES_OK or after & 3 == 3, f"FEATURES_OK without a driver: {after:#x}")
                if after & (DRIVER_OK | FEATURES_OK) == DRIVER_OK:
                    must_not_serve(bench, 0, f"the device works without FEATURES_OK, by status {after:#x}")
    every_device(nacre, plugins, try_it, EVERYONE)


@case
def row_19_stop_and_go_on_with_requests_under_way(nacre, plugins):
    """Each sector carries its number and that of its writing. Writes and reads that are under way at a stop end while the
    machine is paused, each once, and what was written is there, whole."""
    depth, rounds, stride = 16, 40, 0x400
    for aio, thread in (("io_uring", False), ("threads", False), ("io_uring", True)):
        words = ["-drive", f"id=d,file=SCRATCH/disk,direct=off,aio={aio}", "-device",
                 "virtio-blk-device,drive=d,id=d" + ",iothread=t" * thread, *["-object", "iothread,id=t"] * thread]
        with machine(nacre, plugins, "-machine", "microvm", *words,
                     prepare=lambda scratch: (scratch / "disk").write_bytes(bytes(512 * depth * rounds))) as vm:
            t, management = Mmio(vm, 2), Management(vm)
            ring, = t.start(VERSION_1, (0,), 128)
            heads = {kind: [ring.chain([(at, 16, False), (at + 0x100, 512, kind == 0), (at + 0x300, 1, True)],
                                       3 * (kind * depth + number))
                            for number, at in enumerate(range(BUFFERS, BUFFERS + depth * stride, stride))] for kind in (0, 1)}

            def content(sector, turn):
                return struct.pack("<II", sector, turn) * 64

            def go(kind, sectors, data):
                """One request for each sector, with a stop at once, and its end before the machine goes on."""
                vm.write(BUFFERS, b"".join((struct.pack("<IIQ", kind, 0, sector).ljust(0x100, b"\0") + data(sector) +
                                            b"\xff").ljust(stride, b"\0") for sector in sectors))
                ring.offer(*heads[kind])
                t.notify(0)
                management.done("stop")
                vm.wait_for(lambda: ring.is_used(depth), f"the requests of a paused machine ({aio})")
                used = sorted(ring.take()[0] for _ in sectors)
                check(used == heads[kind], f"{used} are used, not each of {heads[kind]} once")
                management.done("cont")
                vm.settle()
                check(ring.used_index() == ring.seen, "a request is used again after the machine has gone on")
                now = vm.read(BUFFERS, depth * stride)
                check(not any(now[0x300::stride]), "a request has failed")
                return [now[at + 0x100:at + 0x300] for at in range(0, depth * stride, stride)]

            for turn in range(1, rounds + 1):
                # Half of them have been written before: what is read is the last.
                sectors = [(turn * depth // 2 + n) % (depth * rounds) for n in range(depth)]
                go(1, sectors, lambda sector, turn=turn: content(sector, turn))
                seen = go(0, sectors, lambda _: bytes(512))
                check(seen == [content(sector, turn) for sector in sectors], f"turn {turn}: another content is read ({aio})")
            file = (vm.scratch / "disk").read_bytes()
            for sector in range(depth * rounds):
                turns = [turn for turn in range(1, rounds + 1) if 0 <= sector - turn * depth // 2 < depth]
                want = content(sector, turns[-1]) if turns else bytes(512)
                check(file[512 * sector:512 * sector + 512] == want, f"sector {sector} of the file is another ({aio})")


@case
def row_27_notifications_of_every_number(nacre, plugins):
    def try_it(bench):
        vm, t = bench.vm, bench.transport
        ring = bench.start()
        register = t.base + 0x50 if isinstance(t, Mmio) else t.notify_base
        for number in (*range(64), *(1 << bit for bit in range(6, 32)), *((1 << bit) - 1 for bit in range(6, 33)),
                       0x80000001, 0xffff8000):
            vm.writel(register, number)
        for number in range(0, 65536, 257):
            vm.writew(register, number)
        vm.settle()
        check(ring.used_index() == 0 and t.works(), "notifications of no queue have done something")
        bench.serve(ring, what="after notifications of no queue")
    every_device(nacre, plugins, try_it, EVERYONE)


@case
def row_28_more_requests_than_the_queue_has(nacre, plugins):
    """A head that is under way is offered again and again: no more are under way than the queue has entries, and each
    is used once."""
    with throttled(nacre, plugins) as vm:
        t = Mmio(vm, 2)
        ring, = t.start(VERSION_1, (0,), size=16)
        ring.set_heads(ring.chain(DISK.parts(vm)))
        ring.advance(16)
        t.notify(0)
        vm.settle()
        done = ring.used_index()
        with must_not_grow(vm, 512, "requests that its queue cannot hold"):
            for _ in range(2000):
                ring.advance(16)
                t.notify(0)
            vm.settle()
        for _ in range(40):
            vm.clock_step(1_000_000_000)
            vm.settle()
        check(ring.used_index() <= done + 16, f"{ring.used_index() - done} requests of a queue of 16 were under way")
        ring, = t.start(VERSION_1, (0,))
        ring.offer(ring.chain(DISK.parts(vm)))
        t.notify(0)
        DISK.check(vm, ring.wait()[1])


@case
def row_29_loops_and_zero_lengths(nacre, plugins):
    """Chains that lead to themselves, of no bytes, and both: in the table, and in an indirect one."""
    table = BUFFERS + 0x800000

    def try_it(bench):
        t, vm, queue = bench.transport, bench.vm, bench.device.queue
        for length in (0, 1, 16):
            for period in (1, 2, 64):
                for flags in (NEXT, NEXT | WRITE):
                    ring = bench.start()
                    for index in range(period):
                        ring.put(index, BUFFERS, length, flags, (index + 1) % period)
                    ring.offer(0)
                    t.notify(queue)
                    bench.must_break(ring, f"for a loop of {period} parts of {length} bytes")
        for parts in (1, 3, 64):
            for writable in (False, True):
                ring = bench.start()
                ring.offer(ring.chain([(BUFFERS, 0, writable)] * parts))
                t.notify(queue)
                vm.settle()
                check(ring.used_index() <= 1, "one chain was used more than once")
                bench.must_work(f"after {parts} parts of no bytes")
        if not bench.device.offers & INDIRECT_DESC:
            return
        for nested in (INDIRECT, INDIRECT | NEXT, NEXT):
            ring = bench.start(VERSION_1 | INDIRECT_DESC)
            ring.put(0, table, 16, nested, 0, table)
            ring.put(0, table, 16, INDIRECT)
            ring.offer(0)
            t.notify(queue)
            bench.must_break(ring, f"for an indirect table that leads to itself, flags {nested}")
    every_device(nacre, plugins, try_it)


@case
def row_31_buffers_that_are_not_memory(nacre, plugins):
    """In the slots' registers, the interrupt controller, the BIOS, the ECAM, a BAR: the device does not read or write
    there, and none of these changes."""
    def try_it(bench):
        t, vm = bench.transport, bench.vm
        places = [t.base, t.base + 0x50, 0xf0100000] if isinstance(t, Mmio) else \
            [t.common, t.notify_base, t.config, pci.ECAM, t.function.table]
        for at in (*places, 0xfec00000, 0xfee00000, 0xfffffff0, 0xd0000000):
            for writable in (False, True):
                ring = bench.start()
                before = vm.readl(at) if at in places else None
                ring.offer(ring.chain([(at, 16, writable)]))
                t.notify(bench.device.queue)
                vm.settle()
                check(at not in places or vm.readl(at) == before or t.status() & NEEDS_RESET,
                      f"a device wrote to {at:#x}, which is no memory")
        bench.must_work("after buffers that are no memory")
    every_device(nacre, plugins, try_it)


@case
def row_32_request_into_own_registers(nacre, plugins):
    """Reads of the disk into its own status, notification and queue registers: the device is not called inside itself.
    The disk's bytes would be seen there, and a status of 0 would reset it."""
    def try_it(bench):
        t, vm = bench.transport, bench.vm
        targets = [t.base + offset for offset in (0x30, 0x38, 0x44, 0x50, 0x70, 0x80, 0x100)] if isinstance(t, Mmio) \
            else [t.common, t.common + 20, t.common + 22, t.notify_base, t.isr, t.config, t.function.table]
        for at in targets:
            ring = bench.start()
            parts = DISK.parts(vm)
            ring.offer(ring.chain([parts[0], (at, 512, True), parts[2]]))
            t.notify(0)
            vm.settle()
            check(t.status() & DRIVER_OK, f"a read into {at:#x} has reset the disk that carried it out")
            check(t.status() & NEEDS_RESET or vm.readb(BUFFERS + 0x2000) != 0, f"a read into {at:#x} succeeded")
            check(ring.used_index() <= 1, "the request was used more than once")
            bench.must_work(f"after a read into {at:#x}")
            # The status byte, too.
            ring = bench.start()
            ring.offer(ring.chain([parts[0], parts[1], (at, 1, True)]))
            t.notify(0)
            vm.settle()
            check(t.status() & DRIVER_OK, f"a status written to {at:#x} has reset the disk")
    every_device(nacre, plugins, try_it, names=("blk",))


@case
def row_15_failed_activation_leaves_nothing(nacre, plugins):
    """Queues that cannot be: the device asks for a reset, holds no more files than before, and works after it."""
    def try_it(bench):
        t, queue = bench.transport, bench.device.queue
        bench.start()
        t.reset()
        threads = status(bench.vm, "Threads")
        files = None
        for number in range(40):
            ring = Ring(bench.vm, RINGS, 16)
            t.set_status(ACKNOWLEDGE | DRIVER)
            t.accept(VERSION_1)
            t.set_status(READY)
            for other in bench.device.queues:
                if other != queue:
                    t.set_queue(other, 16, RINGS + 0x20000, RINGS + 0x24000, RINGS + 0x28000)
                    t.enable(other)
            t.set_queue(queue, 16, bench.memory - 16 * (number % 3), ring.avail, ring.used)
            t.enable(queue)
            t.set_status(READY | DRIVER_OK)
            check(t.status() & NEEDS_RESET, "a queue outside memory does not make the device ask for a reset")
            for index in bench.device.queues:
                t.notify(index)
            t.reset()
            now = len(open_files(bench.vm))
            files = files or now
            check(now <= files, f"{now - files} files more are open after {number} activations that failed")
        check(status(bench.vm, "Threads") <= threads, "activations that failed have left threads behind")
    every_device(nacre, plugins, try_it, EVERYONE)
