"""Known faults of others in single devices and in the machines' registers. Row by row: ../known-faults.md."""

import collections
import itertools
import os
import pathlib
import re
import socket
import struct
import time

import devices
import pci
import qtest
from bench import Bench, case, check
from blk_cases import F_RO, IOERR, OK, READ, SECTORS, UNSUPP
from blk_cases import WRITE as PUT
from blk_cases import request
from devices import BUFFERS, CONTENT
from known_faults import TRANSPORTS, every_device, machine, must_not_grow, patience, status
from management import Management
from ring import NO_INTERRUPT
from virtio import EVENT_IDX, INDIRECT_DESC, MRG_RXBUF, NEEDS_RESET, VERSION_1, Mmio, PciTransport

DISK, NET, BALLOON = (devices.ALL[name] for name in ("blk", "net", "balloon"))
PAGE = 4096


@case
def row_04_flood_then_an_answer(nacre, plugins):
    """More answers come than there are buffers, with and without interrupts; afterwards the next one still comes."""
    def try_it(bench):
        at = BUFFERS + 0x100000
        for features in (VERSION_1, VERSION_1 | EVENT_IDX):
            receiving, sending = bench.transport.start(features, (0, 1), size=64)
            bench.quiet()
            frame = sending.chain(NET.parts(bench.vm))
            for quiet in (NO_INTERRUPT, 0):
                receiving.set_flags(quiet)
                for count in (0, 1, 64):
                    for head in range(count):
                        receiving.offer(receiving.chain([(at + 2048 * head, 2048, True)], head))
                    bench.transport.notify(0)
                    for _ in range(8):
                        sending.offer(*[frame] * 48)
                        bench.transport.notify(1)
                        bench.vm.wait_for(lambda: sending.used_index() == sending.next, "the flood to go out")
                    bench.vm.wait_for(lambda: receiving.used_index() == receiving.next, "answers to the flood")
                receiving.seen = receiving.next
            # What waits in the back end fills some of these; the answer to the last question is among the rest.
            bench.quiet()
            receiving.set_used_event(receiving.seen)
            receiving.offer(receiving.chain([(at, 2048, True)]))
            bench.transport.notify(0)
            sending.offer(frame)
            bench.transport.notify(1)
            receiving.wait()
            bench.vm.wait_for(lambda: bench.transport.took_interrupt(0), "the interrupt after the flood")
            check(bench.vm.read(at + 12, 6) == NET.MAC, "no answer came after the flood")
    every_device(nacre, plugins, try_it, names=("net",))


def flood(path):
    """Sends until the machine takes no more for a while; how many bytes it has taken."""
    other = socket.socket(socket.AF_UNIX)
    other.connect(str(path))
    other.setblocking(False)
    sent, last = 0, time.monotonic()
    while time.monotonic() - last < 0.2 and sent < 64 << 20:
        try:
            sent += other.send(b"F" * 65536)
            last = time.monotonic()
        except BlockingIOError:
            time.sleep(0.005)
    return other, sent


@case
def row_05_input_that_nobody_reads(nacre, plugins):
    """The serial port and the virtio console take little of what a socket floods them with, and wait for the guest."""
    line = ["-chardev", "socket,id=c,path=SCRATCH/line,server,nowait"]
    for front in (["-serial", "chardev:c"],
                  ["-device", "virtio-serial-device,id=s", "-device", "virtconsole,chardev=c,id=con"]):
        with machine(nacre, plugins, "-machine", "microvm", *line, *front) as vm:
            with must_not_grow(vm, 512, "input that nobody reads"):
                other, sent = flood(vm.scratch / "line")
            check(sent < 4 << 20, f"the machine has taken {sent} bytes that its guest does not read")
            if front[0] == "-serial":
                vm.wait_for(lambda: vm.inb(0x3fd) & 1, "the first byte")
                check(all(vm.inb(0x3f8) == ord("F") for _ in range(1000) if vm.inb(0x3fd) & 1), "other bytes came")
            other.close()


@case
def row_11_no_format_is_guessed(nacre, plugins):
    """The guest writes the head of a qcow2 image with a backing file: after a restart the disk is what it was, with
    that head in its first sector, and the file that it names is nowhere open."""
    secret = b"host's secret".ljust(512, b".")
    name = b"/SECRET"
    head = struct.pack(">4sIQIIQIIQQIIQ", b"QFI\xfb", 2, 112, len(name), 16, 64 << 20, 0, 1, 4096, 0, 0, 0, 0)
    head = head.ljust(112, b"\0") + name
    first = head.ljust(512, b"\0")
    bench = Bench(nacre, plugins, DISK, "mmio")
    try:
        check(request(bench, bench.start(), PUT, 0, data=first)[0] == OK, "the head could not be written")
        image = (bench.vm.scratch / "disk").read_bytes()
    finally:
        bench.vm.close()
    check(image == first + CONTENT[512:], "the file is not what the guest has written")

    class Again(devices.Disk):
        def prepare(self, scratch):
            path = str(scratch / "host").encode()
            (scratch / "host").write_bytes(secret)
            at = head[:16] + struct.pack(">I", len(path)) + head[20:112] + path
            (scratch / "disk").write_bytes(at.ljust(512, b"\0") + CONTENT[512:])

    bench = Bench(nacre, plugins, Again(), "mmio")
    try:
        check(bench.transport.config_load(0, 8) == SECTORS, "the disk has another size after the restart")
        status_byte, data = request(bench, bench.start(), READ, 0, room=512)
        check(status_byte == OK and data[:4] == b"QFI\xfb", "the first sector is not what the guest has written")
        _, whole = request(bench, bench.start(), READ, 0, room=SECTORS * 512)
        check(b"secret" not in whole, "the guest reads a file of the host's")
        check(not [file for file in qtest.open_files(bench.vm.process.pid) if file.endswith("/host")],
              "the machine has opened the file that the guest has named")
    finally:
        bench.vm.close()


@case
def row_13_ports_of_every_width(nacre, plugins):
    """Every port of the board with 1, 2 and 4 bytes, aligned or not. Powering off takes bit 5 of a byte, which no
    value has."""
    for name in ("microvm", "q35"):
        with machine(nacre, plugins, "-machine", name) as vm:
            places = [*range(0x60, 0x72), *range(0x3f6, 0x402), *range(0x5fe, 0x63a), *range(0xcf6, 0xd00),
                      *range(0xce7, 0xced), *range(0x508, 0x520), 0x7fd, 0xfffd, 0xfffe, 0xffff, 0, 1, 0x80, 0xb2]
            lines = []
            for at in places:
                for word, width in (("b", 8), ("w", 16), ("l", 32)):
                    lines.append(f"in{word} {at:#x}")
                    lines += [f"out{word} {at:#x} {value & (1 << width) - 1:#x}"
                              for value in (0, 0xdfdfdfdf, 0x5a5a5a5a)]
                    lines.append(f"in{word} {at:#x}")
            for at in range(0, len(lines), 200):
                vm.requests(lines[at:at + 200])
            vm.check_alive()
            vm.writel(0x100000, 0x12345678)
            check(vm.readl(0x100000) == 0x12345678, "memory is out of order after all ports were written to")


@case
def row_13_registers_of_every_width(nacre, plugins):
    """The board's registers in memory with 1, 2, 4 and 8 bytes at odd places: interrupt controllers, vCPUs, ECAM."""
    for name, places in (("microvm", [0xf0100000, 0xf0100200, 0xf01025fc]),
                         ("q35", [0xf0000000, pci.ECAM, pci.ECAM + (0x1f << 15), pci.ECAM + 0xfffffff - 16])):
        with machine(nacre, plugins, "-machine", name, "-smp", "2,maxcpus=4" if name == "q35" else "2") as vm:
            for start in (*places, 0xfec00000, 0xfee00000, 0xfed00000):
                for offset in range(0, 24):
                    for width in (1, 2, 4, 8):
                        vm.load(start + offset, width)
                        vm.store(start + offset, width, 0)
                        vm.store(start + offset, width, 0x5a5a5a5a5a5a5a5a)
            vm.check_alive()


@case
def row_14_power_registers_take_any_value(nacre, plugins):
    """Sleep control, status and reset with every byte but those that mean something, and each of these with a value
    too wide: the machine goes on. Reset resets, and the machine goes on; S5 ends it in order."""
    for name, base in (("microvm", 0x600), ("q35", 0xce9)):
        vm = machine(nacre, plugins, "-machine", name)
        try:
            management = Management(vm)
            for value in range(256):
                for port in range(3):
                    if (port, value) not in ((0, 0x34), (2, 1)):
                        vm.outb(base + port, value)
            for value in (0, 0xffdf, 0x1214, 0xff01):
                vm.request(f"outw {base:#x} {value:#x}")
            vm.request(f"outl {base:#x} 0xffffffdf")
            check(management.execute("query-status")["return"]["status"] == "running", "the machine does not run")
            check("SHUTDOWN" not in management.events, "a value that means nothing has ended the machine")
            vm.outb(base, 0x34)
            check(vm.process.wait(qtest.SECONDS) == 0, "the machine did not end well at S5")
        finally:
            vm.close()


@case
def row_16_read_only_is_read_only(nacre, plugins):
    """Whatever the driver negotiates; the file itself is open for reading alone."""
    class ReadOnly(devices.Disk):
        def arguments(self, suffix):
            words = super().arguments(suffix)
            return [words[0], words[1] + ",readonly=on", *words[2:]]

    for transport in TRANSPORTS:
        bench = Bench(nacre, plugins, ReadOnly(), transport)
        try:
            check(bench.transport.features() & F_RO, "VIRTIO_BLK_F_RO is not offered")
            for features in (VERSION_1, VERSION_1 | F_RO, bench.transport.features(), (1 << 64) - 1):
                ring = bench.start(features)
                for kind in (PUT, 11, 13):
                    data = b"x" * 512 if kind == PUT else struct.pack("<QII", 0, 8, 0)
                    result, _ = request(bench, ring, kind, 0, data=data)
                    check(result != OK, f"request {kind} of a read-only disk succeeded")
                bench.must_work("after writes that were refused")
            check((bench.vm.scratch / "disk").read_bytes() == CONTENT, "a read-only disk was written to")
            folder = pathlib.Path(f"/proc/{bench.vm.process.pid}")
            files = [link.name for link in (folder / "fd").iterdir() if os.readlink(link).endswith("/disk")]
            check(files, "the disk's file is not open")
            for number in files:
                flags = int(re.search(r"flags:\s*(\d+)", (folder / "fdinfo" / number).read_text())[1], 8)
                check(flags & os.O_ACCMODE == os.O_RDONLY, "the file of a read-only disk is open for writing")
        finally:
            bench.vm.close()


@case
def row_18_selection_of_vcpus_that_are_not(nacre, plugins):
    """The controller's selection, status and result with every byte: only vCPUs of the machine show a status."""
    base = 0xf0000004
    with machine(nacre, plugins, "-machine", "q35", "-smp", "2,maxcpus=4") as vm:
        management = Management(vm)
        for index in range(256):
            vm.writeb(base, index)
            shown = vm.readb(base + 1)
            check((shown & 1 == 1) == (index < 2) and (index < 4 or shown == 0), f"vCPU {index} has status {shown:#x}")
            for value in (0, 1, 2, 4, 8, 0xff):
                vm.writeb(base + 1, value)
            for value in (0, 0x84, 0xff):
                vm.writeb(base + 2, value)
        vm.settle()
        cpus = management.execute("query-cpus")["return"]
        check([cpu["CPU"] for cpu in cpus] == [0, 1], f"after every selection the vCPUs are {cpus}")
        added = management.execute("device_add", id="c2", driver="generic-x86-cpu", **{"cpu-id": 2})
        check("return" in added, f"no vCPU can come any more: {added}")
        vm.writeb(base, 2)
        check(vm.readb(base + 1) & 1, "the vCPU that came is not shown")


@case
def row_20_random_bytes_of_every_length(nacre, plugins):
    """Buffers of 0 to 4 GiB: a bounded number of bytes comes into each, in turns that end."""
    rng = devices.ALL["rng"]
    for kind in (Mmio, PciTransport):
        with machine(nacre, plugins, "-machine", kind.MACHINE, *rng.arguments(kind.SUFFIX), memory="1536M") as vm:
            t = Mmio(vm, 4) if kind is Mmio else PciTransport(vm, pci.find(vm, 0x1af4, 0x1044)[0])
            before = status(vm, "VmRSS")
            for length in (1, 4095, 65537, 1 << 20, (1 << 20) + 1, 1 << 28, 1 << 30):
                ring, = t.start(VERSION_1, (0,))
                ring.offer(ring.chain([(0x10000000, length, True)]))
                t.notify(0)
                begin = time.monotonic()
                turns = 0
                while not ring.is_used():
                    vm.clock_step(1)
                    turns += 1
                    check(turns < 1000, f"a buffer of {length} bytes is not served")
                _, written = ring.take()
                check(0 < written <= min(length, 1 << 20), f"{written} bytes came into {length}")
                check(time.monotonic() - begin < 5, f"a buffer of {length} bytes took {time.monotonic() - begin:.1f} s")
            # 60 parts of 1 GiB: more than 4 GiB in all.
            ring, = t.start(VERSION_1, (0,))
            ring.offer(ring.chain([(0x10000000, 1 << 30, True)] * 60))
            t.notify(0)
            for _ in range(100):
                vm.clock_step(1)
            vm.settle()
            check(t.status() & NEEDS_RESET or ring.is_used() and ring.take()[1] <= 1 << 20,
                  "60 GiB in one request neither end nor are refused")
            # The MiB of guest memory that is written to, in huge pages perhaps.
            grown = status(vm, "VmRSS") - before
            check(grown < 16384 * patience(vm) ** 2, f"the machine grew by {grown} KiB for requests of a MiB each")


@case
def row_20_balloon_statistics_of_every_length(nacre, plugins):
    stats = 1 << 1

    def try_it(bench):
        vm, t = bench.vm, bench.transport
        check(t.features() & stats, "the balloon offers no statistics")
        for length in (0, 1, 9, 10, 10 * 64, 10 * 65, 1 << 20, 64 << 20):
            _, _, ring = t.start(VERSION_1 | stats, (0, 1, 2))
            with must_not_grow(vm, 1024, f"statistics of {length} bytes"):
                ring.offer(ring.chain([(BUFFERS, length, False)]))
                t.notify(2)
                vm.settle()
            check(t.works() or length == 0, f"statistics of {length} bytes broke the balloon")
    every_device(nacre, plugins, try_it, names=("balloon",))


@case
def row_30_control_commands_with_wrong_counts(nacre, plugins):
    """MAC tables that say more entries than they have, up to counts whose product with 6 overflows."""
    control, mac_table = 1 << 17, bytes([1, 0])

    def try_it(bench):
        vm, t = bench.vm, bench.transport
        check(t.features() & control, "no control queue is offered")
        for unicast, multicast in ((1, 0), (0, 1), (0x2aaaaaab, 0), (0, 0x2aaaaaab), (0xffffffff, 0xffffffff),
                                   (0x80000000, 0x80000000), (65536, 0)):
            _, _, ring = t.start(VERSION_1 | control, (0, 1, 2))
            command = mac_table + struct.pack("<I", unicast) + struct.pack("<I", multicast)
            vm.write(BUFFERS, command)
            vm.writeb(BUFFERS + 0x1000, 0xaa)
            ring.offer(ring.chain([(BUFFERS, len(command), False), (BUFFERS + 0x1000, 1, True)]))
            t.notify(2)
            ring.wait()
            check(vm.readb(BUFFERS + 0x1000) == 1, f"a table of {unicast:#x} and {multicast:#x} addresses was taken")
        for length in (0, 1, 2, 16384, 16385, 1 << 24):
            _, _, ring = t.start(VERSION_1 | control, (0, 1, 2))
            vm.write(BUFFERS, mac_table)
            vm.writeb(BUFFERS - 0x1000, 0xaa)
            ring.offer(ring.chain([(BUFFERS, length, False), (BUFFERS - 0x1000, 1, True)]))
            t.notify(2)
            vm.settle()
            check(t.status() & NEEDS_RESET or vm.readb(BUFFERS - 0x1000) in (0, 1),
                  f"a command of {length} bytes has no answer")
    every_device(nacre, plugins, try_it, names=("net",))


@case
def row_33_net_header_by_features_alone(nacre, plugins):
    """The header has 12 bytes whatever it says itself: a frame behind a head full of lies is answered, and an answer's
    head is 12 bytes."""
    def try_it(bench):
        at = BUFFERS + 0x100000
        for features in (VERSION_1, VERSION_1 | MRG_RXBUF):
            for lies in (b"\xff" * 12, struct.pack("<BBHHHHH", 0, 1, 0xffff, 0xffff, 0, 0, 0xffff),
                         struct.pack("<BBHHHHH", 1, 0, 0, 0, 0xffff, 0xffff, 1)):
                receiving, sending = bench.transport.start(features & bench.transport.features(), (0, 1))
                bench.vm.write(BUFFERS, lies + NET.frame())
                sending.offer(sending.chain([(BUFFERS, 12 + 60, False)]))
                bench.transport.notify(1)
                bench.vm.settle()
                check(sending.is_used() or bench.transport.status() & NEEDS_RESET, "a frame is never used")
                receiving, sending = bench.transport.start(features & bench.transport.features(), (0, 1))
                bench.vm.write(at, b"\xcc" * 4096)
                receiving.offer(receiving.chain([(at, 2048, True)]))
                bench.transport.notify(0)
                bench.serve(sending)
                _, length = receiving.wait()
                check(bench.vm.read(at + 12, 6) == NET.MAC, "the frame does not begin behind 12 bytes")
                check(bench.vm.read(at + length, 16) == b"\xcc" * 16, "more was written than the used ring says")
    every_device(nacre, plugins, try_it, names=("net",))


@case
def row_34_vectors_of_every_number(nacre, plugins):
    """A queue's vector that does not exist is refused with 0xffff; changes while requests run send each message once,
    and leave no file behind."""
    def try_it(bench):
        vm, t, function = bench.vm, bench.transport, bench.transport.function
        for vector in (function.vectors, function.vectors + 1, 0x7ff, 0x800, 0x8000, 0xfffe, 0xffff):
            for register in (16, 26):
                t.select(bench.device.queue)
                vm.writew(t.common + register, vector)
                check(vm.readw(t.common + register) == 0xffff, f"vector {vector:#x} was taken")
        ring = bench.start()
        files = None
        for number in range(200):
            t.select(bench.device.queue)
            vm.writew(t.common + 26, 0xffff if number % 2 else min(bench.device.queue + 1, function.vectors - 1))
            entry = function.table + 16 * (number % function.vectors)
            vm.writel(entry + 12, number & 1)
            vm.writel(entry + 4, number & 2)
            vm.writel(entry + 8, 0x1234 + number)
            if number % 50 == 0:
                ring.offer(ring.chain(bench.device.parts(vm)))
                t.notify(bench.device.queue)
                ring.wait()
                now = len(qtest.open_files(vm.process.pid))
                files = files or now
                check(now <= files, f"{now - files} files more are open after {number} changes of vectors")
        function.enable_msix(t.MESSAGES)
        t.reset()
    every_device(nacre, plugins, try_it, transports=("pci",))


@case
def row_35_capability_registers_take_any_value(nacre, plugins):
    """The whole configuration space of every function with ones and zeroes: what names the function stays, no
    capability says SR-IOV, and the device works when its driver begins anew."""
    def try_it(bench):
        vm, function = bench.vm, bench.transport.function
        for slot in range(32):
            base = pci.ECAM + (slot << 15)
            if vm.readl(base) == 0xffffffff:
                continue
            names = [vm.readl(base + offset) for offset in (0, 8, 0x2c, 0x34)]
            extended = 0x100
            while extended:
                head = vm.readl(base + extended)
                check(head & 0xffff != 0x10, f"slot {slot} has a capability for SR-IOV")
                extended = head >> 20 if head not in (0, 0xffffffff) else 0
            before = vm.read(base, 256)
            places = [*range(4, 256, 4), *range(0x100, 0x200, 4), 0xffc]
            if slot == 0:  # there the host bridge says where this very space is (HostTest.EcamMovesAndGoes)
                places = [offset for offset in places if offset not in (0x60, 0x64)]
            for offset in places:
                for value in (0xffffffff, 0, 0xa5a5a5a5):
                    vm.writel(base + offset, value)
                    vm.readl(base + offset)
            now = [vm.readl(base + offset) for offset in (0, 8, 0x2c, 0x34)]
            check(now == names, f"slot {slot} was {names} and is {now}")
            for offset in (offset for offset in places if offset < 256):
                vm.writel(base + offset, int.from_bytes(before[offset:offset + 4], "little"))
        for index in range(2048, 4096, 4):
            check(vm.readl(pci.ECAM + (function.slot << 15) + index) in (0, 0xffffffff), "bytes of no capability")
        bench.transport = PciTransport(vm, function)
    every_device(nacre, plugins, try_it, transports=("pci",))


@case
def row_38_no_device_that_is_not_needed(nacre, plugins):
    """No floppy, IDE, parallel port or sound answers at its place."""
    for name in ("microvm", "q35"):
        with machine(nacre, plugins, "-machine", name) as vm:
            for port in (*range(0x3f0, 0x3f6), 0x3f7, *range(0x1f0, 0x1f8), *range(0x170, 0x178), *range(0x378, 0x37b),
                         *range(0x220, 0x230), *range(0x300, 0x310)):
                vm.outb(port, 0x0f)
                check(vm.inb(port) == 0xff, f"something answers at port {port:#x} of {name}")


@case
def row_39_every_chain_is_used_once(nacre, plugins):
    """Requests known and not, whole and in parts, all under way at once: all that were offered are used, each once."""
    def try_it(bench):
        vm, t = bench.vm, bench.transport
        ring = bench.start(VERSION_1 | INDIRECT_DESC, size=64)
        statuses = {}
        kinds = (0, 1, 2, 3, 4, 5, 8, 10, 11, 13, 14, 0x100, 0x80000000, 0xffffffff)
        for head, (kind, room) in enumerate(itertools.product(kinds, (0, 512, 513))):
            at = BUFFERS + 0x4000 * head
            vm.write(at, struct.pack("<IIQ", kind, 0, 2))
            vm.writeb(at + 0x3000, 0xff)
            parts = [(at, 16, False), *([(at + 0x1000, room, kind != 1)] if room else []), (at + 0x3000, 1, True)]
            ring.indirect(parts, BUFFERS + 0x400000 + 0x100 * head, head)
            statuses[head] = (at + 0x3000, kind, room)
        heads = list(statuses)
        ring.offer(*heads)
        t.notify(0)
        vm.wait_for(lambda: ring.used_index() == len(heads), "every chain to be used")
        vm.settle()
        check(ring.used_index() == len(heads), "more was used than was offered")
        used = collections.Counter(ring.take()[0] for _ in heads)
        check(used == collections.Counter(heads), f"used were {used}")
        for at, kind, room in statuses.values():
            check(vm.readb(at) in (OK, IOERR, UNSUPP), f"request {kind:#x} of {room} bytes has no status")
            check(kind in (0, 1, 4, 8, 11, 13) or vm.readb(at) == UNSUPP, f"request {kind:#x} is not UNSUPP")
    every_device(nacre, plugins, try_it, names=("blk",))


@case
def row_40_balloon_pages_that_are_not_there(nacre, plugins):
    """Page numbers beyond RAM, in its hole, more than once: the pages of RAM that are named go back, no others."""
    with machine(nacre, plugins, "-machine", "microvm", *BALLOON.arguments("-device"), memory="3328M") as vm:
        t = Mmio(vm, 5)
        low, high = 3 << 30, 4 << 30
        end = high + (256 << 20)
        check(vm.readb(low - 1) == 0 and vm.readb(low) == 0xff and vm.readb(end - 1) == 0 and vm.readb(end) == 0xff,
              "RAM is not where this test believes it to be")
        marks = [0, 0x3000000 - PAGE, 0x3000000 + PAGE, low - 2 * PAGE, high + PAGE, end - 2 * PAGE, 0x2ffe000]
        given = [0x3000000, low - PAGE, high, end - PAGE]
        for at in (*marks, *given):
            vm.write(at, b"mark")
        numbers = [at // PAGE for at in given] * 3
        numbers += [low // PAGE, low // PAGE + 7, high // PAGE - 1, 0xfee00, 0xf0100, end // PAGE, 1 << 31,
                    0xffffffff]
        numbers += numbers[::-1]
        ring, _ = t.start(VERSION_1, (0, 1))
        vm.write(BUFFERS, struct.pack(f"<{len(numbers)}I", *numbers))
        ring.offer(ring.chain([(BUFFERS, 4 * len(numbers), False)]))
        t.notify(0)
        ring.wait()
        check(t.works(), "page numbers outside RAM broke the balloon")
        for at in given:
            check(vm.read(at, 4) == bytes(4), f"the page at {at:#x} was not given back")
        for at in marks:
            check(vm.read(at, 4) == b"mark", f"the page at {at:#x} was given back and not named")
        # `actual` is the driver's word: it never makes more memory than there is.
        management = Management(vm)
        for pages in (0, 1, 0xffffffff, (3328 << 20) // PAGE + 1):
            t.config_store(4, 4, pages)
            actual = management.execute("query-balloon")["return"]["actual"]
            check(0 <= actual <= 3328 << 20, f"the guest says {pages} pages, query-balloon {actual} bytes")
