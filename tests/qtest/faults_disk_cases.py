"""Faults of the host's disk, behind each of the engines that serve it. What is promised: ../faults.md."""

import collections
import contextlib
import errno
import pathlib
import random
import signal
import struct
import tempfile
import threading
import time

import fault_disk
import figures
import pci
import qtest
import root_port_cases
from bench import case, check
from blk_cases import DISCARD, F_FLUSH, FLUSH, IOERR, OK, READ, WRITE
from devices import BUFFERS
from fault_disk import FaultDisk
from known_faults import must_idle
from known_faults_host_cases import PORT, Monitor
from virtio import ACKNOWLEDGE, VERSION_1, Mmio, PciTransport

NEEDS = ("fuse", fault_disk.possible)
BYTES, BLOCK = 256 << 10, 4096
ENGINES = [f"direct={direct},aio={aio}" for direct, aio in
           (("off", "off"), ("off", "threads"), ("off", "io_uring"), ("on", "threads"), ("on", "io_uring"),
            ("on", "native"))]
# Those that no thread of the machine waits for. With aio=off one does; with direct=off, the kernel's io_uring waits for
# FUSE where it is called (seen with 6.18).
ASYNCHRONOUS = ["direct=off,aio=threads", "direct=on,aio=threads", "direct=on,aio=io_uring", "direct=on,aio=native"]


class Driver:
    """A guest's driver of the disk: requests that it submits many of, before it looks for what has become of them."""

    PLACES = 16

    def __init__(self, vm, features=VERSION_1 | F_FLUSH, capacity=BYTES, at=BUFFERS, transport=None):
        self.vm, self.at = vm, at
        if transport:
            self.transport = transport
        elif functions := pci.find(vm, 0x1af4, 0x1040 + 2):
            self.transport = PciTransport(vm, functions[0])
        else:
            slot = next(slot for slot in range(Mmio.SLOTS) if vm.readl(Mmio.BASE + slot * Mmio.STRIDE + 8) == 2 and
                        vm.readl(Mmio.BASE + slot * Mmio.STRIDE + 0x100) == capacity // 512)
            self.transport = Mmio(vm, 2, slot)
        self.ring, = self.transport.start(features, (0,), at=at + 0x200000)
        self.under_way = {}  # head -> place
        self.free = list(range(self.PLACES))

    def submit(self, kind, block=0, data=b"", room=0):
        """Returns the request's place, by which done() knows it."""
        place = self.free.pop()
        at = self.at + place * 0x10000
        self.vm.write(at, struct.pack("<IIQ", kind, 0, block * (BLOCK // 512)))
        self.vm.writeb(at + 0x1000, 0xff)
        parts = [(at, 16, False)]
        if data:
            self.vm.write(at + 0x2000, data)
            parts.append((at + 0x2000, len(data), False))
        if room:
            parts.append((at + 0x2000, room, True))
        head = self.ring.chain([*parts, (at + 0x1000, 1, True)], 4 * place)
        self.under_way[head] = place
        self.ring.offer(head)
        self.transport.notify(0)
        return place

    def done(self):
        """{place: status} of what has ended since."""
        ended = {}
        while self.under_way and self.ring.is_used():
            place = self.under_way.pop(self.ring.take()[0])
            ended[place] = self.vm.readb(self.at + place * 0x10000 + 0x1000)
            self.free.append(place)
        return ended

    def data(self, place, length):
        return self.vm.read(self.at + place * 0x10000 + 0x2000, length)

    def wait_all(self):
        ended = {}
        self.vm.wait_for(lambda: ended.update(self.done()) or not self.under_way, "the end of the requests")
        return ended

    def one(self, kind, block=0, data=b"", room=0):
        """One request to its end: its status, and what it read."""
        place = self.submit(kind, block, data, room)
        return self.wait_all()[place], self.data(place, room) if room else b""


def block_of(number):
    return struct.pack("<Q", number) * (BLOCK // 8)


@contextlib.contextmanager
def faulty(nacre, plugins, engine, *more, machine="microvm", **how):
    """A machine whose disk is a FaultDisk: yields (vm, disk). At the end it must be alive, unless it was killed."""
    with tempfile.TemporaryDirectory(prefix="nacre-fault-") as name, FaultDisk(pathlib.Path(name) / "disk", BYTES,
                                                                                     **how) as disk:
        words = {"microvm": ["-machine", "microvm", "-device", "virtio-blk-device,drive=d,id=d"],
                 "q35": ["-machine", "q35", "-device", "virtio-blk-pci,bus=pcie.0,addr=0x2,drive=d,id=d"],
                 "port": ["-machine", "q35", *PORT, "-device", "virtio-blk-pci,bus=pcie.1,addr=0x0,drive=d,id=d"]}[machine]
        vm = qtest.Machine(nacre, plugins, [*words[:2], "-drive", f"id=d,file={name}/disk,discard=unmap,{engine}", *words[2:],
                                            *more])
        try:
            yield vm, disk
            if vm.process.poll() is None:
                vm.check_alive()
        finally:
            disk.release()
            vm.close()


def report(what, counters):
    every = sum(counters, start=collections.Counter())
    figures.tell("faults", what, every.total(), f"faults: {', '.join(f'{count} x {name}' for name, count in every.items())}")


@case
def full(nacre, plugins):
    """A write for which the host has no room is an error of that write, with an event; there is room again: goes on."""
    faults = []
    for engine in ENGINES:
        with faulty(nacre, plugins, engine) as (vm, disk):
            driver, monitor = Driver(vm), Monitor(vm)
            disk.room = 10 * BLOCK + 512  # the last that finds room finds it in part
            results = [driver.one(WRITE, block, block_of(block + 1))[0] for block in range(16)]
            check(results == [OK] * 10 + [IOERR] * 6, f"{engine}: writes to a disk that fills up ended with {results}")
            monitor.wait_for("BLOCK_IO_ERROR")
            check("No space left" in vm.log(), f"{engine}: the log does not say why: {vm.log()}")
            check(driver.one(READ, 3, room=BLOCK) == (OK, block_of(4)), f"{engine}: a full disk cannot be read")
            check(driver.one(FLUSH)[0] == OK, f"{engine}: a full disk cannot be flushed")
            check(monitor.done("query-status")["running"], f"{engine}: the machine does not run")
            disk.room = None
            results = [driver.one(WRITE, block, block_of(block + 1))[0] for block in range(16)]
            check(results == [OK] * 16, f"{engine}: with room again, writes end with {results}")
            check(bytes(disk.data[:16 * BLOCK]) == b"".join(block_of(block + 1) for block in range(16)),
                  f"{engine}: other data is in the image")
            faults.append(disk.faults)
    report("full", faults)


@case
def errors(nacre, plugins):
    """What the host cannot do is an error of that request alone; the next one works when the host does."""
    faults = []
    requests = {"read": (READ, {"room": BLOCK}), "write": (WRITE, {"data": block_of(7)}), "flush": (FLUSH, {}),
                "discard": (DISCARD, {"data": struct.pack("<QII", 8, 8, 0)})}
    for engine in ENGINES:
        with faulty(nacre, plugins, engine) as (vm, disk):
            driver, monitor = Driver(vm, VERSION_1 | F_FLUSH | 1 << 13), Monitor(vm)
            for number in (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.ESTALE, errno.ENOMEM):
                for name, (kind, how) in requests.items():
                    disk.fail[name] = number
                    places = [driver.submit(kind, 1, **how) for _ in range(4)]
                    ended = driver.wait_all()
                    check([ended[place] for place in places] == [IOERR] * 4,
                          f"{engine}: {name} with {errno.errorcode[number]} ended with {ended}")
                    for other, (kind, how) in requests.items():
                        if other != name:
                            status, _ = driver.one(kind, 2, **how)
                            check(status == OK, f"{engine}: while {name} fails, {other} has status {status}")
                    del disk.fail[name]
                    status, _ = driver.one(*requests[name][:1], 1, **requests[name][1])
                    check(status == OK, f"{engine}: {name} after {errno.errorcode[number]} has status {status}")
            monitor.wait_for("BLOCK_IO_ERROR")
            check(driver.transport.works(), f"{engine}: the disk asks for a reset")
            faults.append(disk.faults)
    report("errors", faults)


@case
def transfers_cut_short(nacre, plugins):
    """The host moves less than was asked, as it may: the rest is asked for again, nothing is lost or doubled."""
    faults = []
    for engine in ENGINES:
        if engine in ("direct=on,aio=io_uring", "direct=on,aio=native"):
            continue  # the kernel asks FUSE for the rest by itself, and at the wrong place (seen with 6.18)
        with faulty(nacre, plugins, engine) as (vm, disk):
            driver = Driver(vm)
            data = b"".join(block_of(number) for number in range(8))
            for most in (4096, 512, 12288):
                disk.most = {"write": most}
                disk.data[:len(data)] = bytes(len(data))
                check(driver.one(WRITE, 0, data)[0] == OK, f"{engine}: a write in parts of {most} bytes fails")
                check(bytes(disk.data[:len(data)]) == data, f"{engine}: parts of {most} bytes: other data is written")
                # Of reads the kernel's io_uring does the same with direct=off, too
                disk.most = {} if "io_uring" in engine else {"read": most}
                check(driver.one(READ, 0, room=len(data)) == (OK, data),
                      f"{engine}: parts of {most} bytes: other data is read")
            faults.append(disk.faults)
    report("transfers_cut_short", faults)


@case
def transfers_interrupted(nacre, plugins):
    """What ends with EINTR is asked for again."""
    faults = []
    for engine in ENGINES:
        with faulty(nacre, plugins, engine) as (vm, disk):
            driver = Driver(vm, VERSION_1 | F_FLUSH | 1 << 13)
            for turn in range(3):
                disk.interrupts = {"read": 1, "write": 1, "flush": 1, "discard": 1}
                check(driver.one(WRITE, turn, block_of(turn + 1))[0] == OK, f"{engine}: a write that is interrupted fails")
                check(bytes(disk.data[turn * BLOCK:][:BLOCK]) == block_of(turn + 1), f"{engine}: other data is written")
                check(driver.one(FLUSH)[0] == OK, f"{engine}: a flush that is interrupted fails")
                check(bytes(disk.safe[turn * BLOCK:][:BLOCK]) == block_of(turn + 1), f"{engine}: it was not flushed")
                check(driver.one(READ, turn, room=BLOCK) == (OK, block_of(turn + 1)), f"{engine}: other data is read")
                discard = struct.pack("<QII", turn * (BLOCK // 512), BLOCK // 512, 0)
                check(driver.one(DISCARD, 0, discard)[0] == OK, f"{engine}: a discard that is interrupted fails")
                check(not any(disk.interrupts.values()), f"{engine}: not interrupted: {disk.interrupts}")
            faults.append(disk.faults)
    report("transfers_interrupted", faults)


@case
def a_flush_waits_for_the_disk(nacre, plugins):
    """A flush is acknowledged when the host's has ended and not before; without flushes, that holds for each write."""
    faults = []
    for engine in ENGINES:
        if engine in ASYNCHRONOUS:
            with faulty(nacre, plugins, engine, asynchronous=True) as (vm, disk):
                driver = Driver(vm)
                for turn in range(5):
                    check(driver.one(WRITE, turn, block_of(turn + 1))[0] == OK, f"{engine}: a write")
                    disk.hold("flush")
                    place = driver.submit(FLUSH)
                    vm.wait_for(lambda: disk.waiting("flush"), "the host's flush")
                    vm.settle()
                    check(not driver.done(), f"{engine}: a flush was acknowledged before the host's had ended")
                    check(bytes(disk.safe[turn * BLOCK:][:BLOCK]) == bytes(BLOCK), "the test has flushed by itself")
                    disk.release()
                    check(driver.wait_all() == {place: OK}, f"{engine}: the flush has failed")
                    check(bytes(disk.safe[turn * BLOCK:][:BLOCK]) == block_of(turn + 1), f"{engine}: it was not written")
                faults.append(disk.faults)
        with faulty(nacre, plugins, engine) as (vm, disk):
            driver = Driver(vm, VERSION_1)
            for turn in range(5):
                check(driver.one(WRITE, turn, block_of(turn + 1))[0] == OK, f"{engine}: a write")
                check(bytes(disk.safe[turn * BLOCK:][:BLOCK]) == block_of(turn + 1),
                      f"{engine}: without flushes, a write is acknowledged before it is flushed")
            disk.fail["flush"] = errno.EIO
            check(driver.one(WRITE, 6, block_of(7))[0] == IOERR, f"{engine}: a write whose flush has failed is none")
            faults.append(disk.faults)
    report("a_flush_waits_for_the_disk", faults)


@case
def power_fails_at_any_moment(nacre, plugins):
    """The machine is killed, and the host forgets what it was not told to flush: what was flushed for the guest is
    there."""
    rng = random.Random(1)
    kills = flushed = 0
    for engine in ENGINES:
        for _ in range(4):
            with faulty(nacre, plugins, engine) as (vm, disk):
                driver = Driver(vm)
                written, sure = {}, {}  # block -> number: acknowledged; flushed after that
                writes, flushes = {}, {}  # place -> (block, number); place -> what was written before
                for number in range(1, rng.randrange(40, 80)):
                    for place, status in driver.done().items():
                        check(status == OK, f"{engine}: status {status}")
                        if place in writes:
                            block, wrote = writes.pop(place)
                            written[block] = max(wrote, written.get(block, 0))
                        else:
                            sure.update(flushes.pop(place))
                    block = rng.randrange(16)
                    if not driver.free or block in [block for block, _ in writes.values()]:
                        continue
                    if rng.random() < 0.25:
                        flushes[driver.submit(FLUSH)] = dict(written)
                    else:
                        writes[driver.submit(WRITE, block, block_of(number))] = (block, number)
                vm.kill()
                for block, number in sure.items():
                    found, = struct.unpack_from("<Q", disk.safe, block * BLOCK)
                    check(found >= number, f"{engine}: block {block} was flushed as {number} and is {found}")
                kills += 1
                flushed += len(sure)
    check(flushed > 4 * kills, f"only {flushed} blocks were flushed before {kills} kills")
    figures.tell("faults", "power_fails_at_any_moment", kills, f"kills, {flushed} blocks flushed before them are there")


@case
def vanishes(nacre, plugins):
    """The disk is gone for good: each request is an error, the machine goes on, and the disk can be taken away."""
    faults = []
    for engine in ENGINES:
        with faulty(nacre, plugins, engine) as (vm, disk):
            driver, monitor = Driver(vm), Monitor(vm)
            check(driver.one(WRITE, 0, block_of(1))[0] == OK, f"{engine}: a write")
            disk.vanish()
            for kind, how in ((READ, {"room": BLOCK}), (WRITE, {"data": block_of(1)}), (FLUSH, {})):
                status, _ = driver.one(kind, 0, **how)
                check(status == IOERR, f"{engine}: request {kind} to a disk that is gone has status {status}")
            monitor.wait_for("BLOCK_IO_ERROR")
            must_idle(vm, "a disk that is gone")
            monitor.delete("d")
            check(not monitor.done("query-block"), f"{engine}: a disk that is gone is still there after device_del")
            check(not [name for name in qtest.open_files(vm.process.pid) if name.startswith(str(disk.path))],
                  f"{engine}: the file of a disk that was taken away is still open")
            must_idle(vm, "a disk that was taken away")
            check(monitor.done("query-status")["running"], f"{engine}: the machine does not run")
            faults.append(disk.faults)
    report("vanishes", faults)


def _fill(vm, disk, name="read", driver=None):
    """Requests under way that the disk does not answer."""
    driver = driver or Driver(vm)
    disk.data[:] = b"".join(block_of(block + 1) for block in range(BYTES // BLOCK))
    disk.hold(name)
    kind, how = {"read": (READ, {"room": BLOCK}), "write": (WRITE, {"data": block_of(9)})}[name]
    places = [driver.submit(kind, block, **how) for block in range(8)]
    vm.wait_for(lambda: disk.waiting(name), "a request at the disk")
    return driver, places


@case
def slow(nacre, plugins):
    """While a disk does not answer, the machine does: QMP, stop and cont, its other devices; it uses no processor."""
    faults = []
    for engine in ASYNCHRONOUS:
        with tempfile.NamedTemporaryFile(prefix="nacre-fault-") as second:
            second.write(block_of(77) * 4)
            second.flush()
            with faulty(nacre, plugins, engine, "-drive", f"id=e,file={second.name},direct=off", "-device",
                        "virtio-blk-device,drive=e,id=e", asynchronous=True) as (vm, disk):
                monitor = Monitor(vm)
                driver, places = _fill(vm, disk)
                begin = time.monotonic()
                for _ in range(20):
                    check(monitor.done("query-status")["running"], f"{engine}: the machine does not run")
                check(len(monitor.done("query-block")) == 2, f"{engine}: query-block")
                for command in ("stop", "cont"):
                    monitor.done(command)
                check(time.monotonic() - begin < 5, f"{engine}: QMP takes {time.monotonic() - begin:.1f} s")
                other = Driver(vm, capacity=4 * BLOCK, at=BUFFERS + 0x1000000)
                check(other.one(READ, 1, room=BLOCK) == (OK, block_of(77)), f"{engine}: the other disk does not answer")
                must_idle(vm, f"{engine}: a disk that does not answer")
                check(not driver.done(), f"{engine}: a request was answered that the disk has not")
                disk.release()
                ended = driver.wait_all()
                check(ended == {place: OK for place in places}, f"{engine}: the requests ended with {ended}")
                check([driver.data(place, BLOCK) for place in places] == [block_of(block + 1) for block in range(8)],
                      f"{engine}: other data was read")
                faults.append(disk.faults)
    report("slow", faults)


@case
def slow_and_taken_away(nacre, plugins):
    """device_del, system_reset, the guest's own reset, and the end by quit or SIGTERM are done when the disk has answered
    the requests under way."""
    faults = []
    for engine in ASYNCHRONOUS:
        for what in ("device_del", "system_reset", "reset", "quit", "SIGTERM"):
            with faulty(nacre, plugins, engine, asynchronous=True) as (vm, disk):
                monitor = Monitor(vm)
                driver, _ = _fill(vm, disk, "write")
                releaser = threading.Timer(0.1, disk.release)
                releaser.start()
                begin = time.monotonic()
                if what == "SIGTERM":
                    vm.process.terminate()
                elif what == "reset":
                    driver.transport.reset()
                else:
                    monitor.done(what, **({"id": "d"} if what == "device_del" else {}))
                if what == "system_reset":
                    monitor.wait_for("RESET")
                if what in ("quit", "SIGTERM"):
                    check(vm.process.wait(qtest.SECONDS) == 0, f"{engine}: ends with {vm.process.returncode}")
                elif what == "device_del":
                    monitor.wait_for("DEVICE_DELETED")
                else:
                    monitor.done("query-status")
                    check(Driver(vm).one(READ, 0, room=BLOCK) == (OK, block_of(9)), f"{engine}: after {what}, a read")
                check(time.monotonic() - begin > 0.05, f"{engine}: {what} did not wait for the disk")
                releaser.join()
                check(bytes(disk.data[:8 * BLOCK]) == block_of(9) * 8, f"{engine}: {what}: writes under way are lost")
                faults.append(disk.faults)
    report("slow_and_taken_away", faults)


def _quickly(monitor, command, **arguments):
    """Carries the command out; a disk that does not answer may keep nobody waiting."""
    begin = time.monotonic()
    answer = monitor.execute(command, **arguments)
    check(time.monotonic() - begin < 2, f"{command} takes {time.monotonic() - begin:.1f} s")
    return answer


def _is_served(vm, monitor, engine, after):
    """With a disk that does not answer, for some time."""
    for _ in range(5):
        check("return" in _quickly(monitor, "query-status"), f"{engine}: after {after}, query-status")
        time.sleep(0.05)
    must_idle(vm, f"{engine}: {after} that waits for a disk")


@case
def never_answers(nacre, plugins):
    """device_del and system_reset are answered at once while a disk does not answer, management goes on, and they are
    done when it does: no request is lost, and none is under way when the disk is gone."""
    faults = []
    for engine in ASYNCHRONOUS:
        with faulty(nacre, plugins, engine, asynchronous=True) as (vm, disk):
            monitor = Monitor(vm)
            driver, places = _fill(vm, disk, "write")
            check("return" in _quickly(monitor, "device_del", id="d"), f"{engine}: device_del is refused")
            _is_served(vm, monitor, engine, "device_del")
            says = _quickly(monitor, "device_del", id="d")["error"]["desc"]
            check("already" in says, f"{engine}: a second device_del is refused with: {says}")
            says = _quickly(monitor, "blockdev-del", **{"node-name": "d"})["error"]["desc"]
            check("in use" in says, f"{engine}: blockdev-del is refused with: {says}")
            check(not driver.done(), f"{engine}: a request was answered that the disk has not")
            reads = disk.counts["read"]
            late = driver.submit(READ, 20, room=BLOCK)
            vm.settle()
            check(disk.counts["read"] == reads, f"{engine}: a disk that is to go is asked for more")
            check("DEVICE_DELETED" not in monitor.events, f"{engine}: a disk with requests under way is gone")
            disk.release()
            monitor.wait_for("DEVICE_DELETED")
            ended = driver.wait_all()
            check({place: ended[place] for place in places} == dict.fromkeys(places, OK), f"{engine}: ended with {ended}")
            check(ended[late] == IOERR and disk.counts["read"] == reads, f"{engine}: the late one ended with {ended}")
            check(bytes(disk.data[:8 * BLOCK]) == block_of(9) * 8, f"{engine}: writes under way are lost")
            faults.append(disk.faults)
        with faulty(nacre, plugins, engine, asynchronous=True) as (vm, disk):
            monitor = Monitor(vm)
            _fill(vm, disk, "write")
            for _ in range(2):
                check("return" in _quickly(monitor, "system_reset"), f"{engine}: system_reset is refused")
            _is_served(vm, monitor, engine, "system_reset")
            check("RESET" not in monitor.events, f"{engine}: a reset with requests under way is done")
            check("the reset waits for drive 'd'" in vm.log(), f"{engine}: the log does not say why: {vm.log()}")
            disk.release()
            monitor.wait_for("RESET")
            vm.settle()
            check("RESET" not in monitor.events, f"{engine}: two resets are done")
            check(bytes(disk.data[:8 * BLOCK]) == block_of(9) * 8, f"{engine}: writes under way are lost")
            check(Driver(vm).one(READ, 0, room=BLOCK) == (OK, block_of(9)), f"{engine}: after the reset, a read")
            faults.append(disk.faults)
    report("never_answers", faults)


@case
def never_answers_a_reset_by_the_driver(nacre, plugins):
    """A driver on PCI that resets a disk which does not answer reads another status than 0 until it has, and the machine
    goes on."""
    faults = []
    for engine in ASYNCHRONOUS:
        for then in ("device_status", "system_reset"):
            with faulty(nacre, plugins, engine, machine="q35", asynchronous=True) as (vm, disk):
                monitor = Monitor(vm)
                driver, _ = _fill(vm, disk, "write")
                driver.transport.set_status(0)
                check(driver.transport.status() != 0, f"{engine}: reset with requests under way")
                for status in (ACKNOWLEDGE, 0):
                    driver.transport.set_status(status)
                _is_served(vm, monitor, engine, "a reset by the driver")
                check(driver.transport.status() != 0, f"{engine}: reset with requests under way")
                if then == "system_reset":
                    check("return" in _quickly(monitor, then), f"{engine}: {then} is refused")
                    _is_served(vm, monitor, engine, then)
                disk.release()
                if then == "system_reset":
                    monitor.wait_for("RESET")
                    driver.transport.function.map_bars()
                vm.wait_for(lambda: driver.transport.status() == 0, f"{engine}, {then}: the end of the reset")
                check(bytes(disk.data[:8 * BLOCK]) == block_of(9) * 8, f"{engine}: writes under way are lost")
                check(Driver(vm).one(READ, 0, room=BLOCK) == (OK, block_of(9)), f"{engine}, {then}: a read after that")
                faults.append(disk.faults)
    report("never_answers_a_reset_by_the_driver", faults)


@contextlib.contextmanager
def _writes_below_a_port(nacre, plugins, engine):
    """A machine, its disk below a root port, which does not answer writes that are under way, the monitor, the port, and
    the disk's transport."""
    with faulty(nacre, plugins, engine, machine="port", asynchronous=True) as (vm, disk):
        monitor, port = Monitor(vm), root_port_cases.Port(vm)
        port.open_window(pci.WINDOW + 32 * 0x100000)  # where Function.map_bars() puts what is on bus 1
        transport = PciTransport(vm, pci.Function(vm, 1, 0))
        _fill(vm, disk, "write", Driver(vm, transport=transport))
        yield vm, disk, monitor, port, transport


@case
def never_answers_below_a_port(nacre, plugins):
    """A guest switches off the slot of a disk that does not answer: the disk goes when it has."""
    faults = []
    for engine in ASYNCHRONOUS:
        with _writes_below_a_port(nacre, plugins, engine) as (vm, disk, monitor, port, _):
            check("return" in _quickly(monitor, "device_del", id="d"), f"{engine}: device_del is refused")
            port.control(root_port_cases.SWITCHED_OFF | root_port_cases.POWER_OFF)
            _is_served(vm, monitor, engine, "a slot that was switched off")
            check("DEVICE_DELETED" not in monitor.events, f"{engine}: a disk with requests under way is gone")
            disk.release()
            monitor.wait_for("DEVICE_DELETED")
            check(bytes(disk.data[:8 * BLOCK]) == block_of(9) * 8, f"{engine}: writes under way are lost")
            check(not root_port_cases.below(vm), f"{engine}: the disk is there still")
            faults.append(disk.faults)
    report("never_answers_below_a_port", faults)


@case
def never_answers_a_reset_of_its_bus(nacre, plugins):
    """A guest resets the bus of a disk that does not answer: the machine goes on, and the disk's status is 0 when it has."""
    faults = []
    for engine in ASYNCHRONOUS:
        with _writes_below_a_port(nacre, plugins, engine) as (vm, disk, monitor, port, transport):
            for bits in (0x40, 0):
                port.store(0x3e, 2, bits)
            _is_served(vm, monitor, engine, "a reset of the bus")
            transport.function.map_bars()
            check(transport.status() != 0, f"{engine}: reset with requests under way")
            disk.release()
            vm.wait_for(lambda: transport.status() == 0, f"{engine}: the end of the reset")
            check(bytes(disk.data[:8 * BLOCK]) == block_of(9) * 8, f"{engine}: writes under way are lost")
            check(Driver(vm, transport=transport).one(READ, 0, room=BLOCK) == (OK, block_of(9)), f"{engine}: a read after that")
            faults.append(disk.faults)
    report("never_answers_a_reset_of_its_bus", faults)


@case
def never_answers_at_the_end(nacre, plugins):
    """SIGTERM, SIGINT and quit wait 5 s for a disk that does not answer. Then the machine ends without it and says so;
    what was flushed is in the image, and no socket is left."""
    faults = []
    with contextlib.ExitStack() as stack:
        vms = []
        for engine in ASYNCHRONOUS:
            for way in ("SIGTERM", "SIGINT", "quit"):
                vm, disk = stack.enter_context(faulty(
                    nacre, plugins, engine, "-chardev", "socket,id=c,path=SCRATCH/line,server,nowait", "-serial", "chardev:c",
                    asynchronous=True))
                vm.may_end_with(1)
                driver = Driver(vm)
                check(driver.one(WRITE, 40, block_of(40))[0] == OK and driver.one(FLUSH)[0] == OK, f"{engine}: a flush")
                vms.append((engine, way, vm, disk))
                _fill(vm, disk, "write")
        begin = time.monotonic()
        for _, way, vm, _ in vms:
            if way == "quit":
                Monitor(vm).done("quit")
            else:
                vm.process.send_signal(getattr(signal, way))
        for engine, way, vm, disk in vms:
            vm.wait_for(lambda: "ends without them" in vm.log(), f"{engine}, {way}: the end of its patience")
            took = time.monotonic() - begin
            check(4 < took < 12, f"{engine}: {way} waits {took:.1f} s for the disk")
            said = [line for line in vm.log().splitlines() if "ERROR" in line]
            check(len(said) == 1 and "drive 'd'" in said[0] and "8 requests" in said[0] and "flush" in said[0],
                  f"{engine}: {way} says {said}")
            vm.wait_for(lambda: not vm.qmp.exists() and not (vm.scratch / "line").exists(), f"{engine}: no sockets left")
            # A thread that waits inside the kernel ends when that lets go of it, as after SIGKILL.
            disk.release()
            check(vm.process.wait(qtest.SECONDS) == 1, f"{engine}: {way} ends with {vm.process.returncode}")
            check(bytes(disk.safe[40 * BLOCK:41 * BLOCK]) == block_of(40), f"{engine}: what was flushed is lost")
            faults.append(disk.faults)
    report("never_answers_at_the_end", faults)
