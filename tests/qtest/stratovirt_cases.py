"""The machine as StratoVirt's module tests use it: started by -mod-test alone, without a kernel, over the dialect that
ends no request; a BAR is sized while it is decoded, ports are left without windows, and a client of QMP takes the next
line for the answer, within 10 s."""

import contextlib
import json
import socket
import subprocess

import pci
import qtest
from bench import case, check
from ring import Ring
from virtio import ACKNOWLEDGE, DRIVER, DRIVER_OK, EVENT_IDX, FEATURES_OK, NEEDS_RESET, VERSION_1

RAM = 0x40000000  # from here on the tests take memory
RINGS, REQUEST, MESSAGE = RAM, RAM + 0x100000, RAM + 0x200000
DATA = 0x12345678  # of every message
SECTOR = 512
READ, WRITE = 0, 1
EVENTS = 0xf0000000  # of the generic event device
CPU_EVENT = 16
AGREED = ACKNOWLEDGE | DRIVER | FEATURES_OK
# Of a PCI Express slot
HOTPLUG, COMPLETED, PRESENCE, BUTTON = 0x20, 0x10, 8, 1
SLOT_ON, SLOT_OFF, SLOT_POWER = 0x100, 0x700, 0x700


class Lines:
    """QMP to a client for which the line after a request is its answer."""

    def __init__(self, vm):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(qtest.SECONDS)
        self.socket.connect(str(vm.qmp))
        self.lines = self.socket.makefile("r")
        self.greeting = self.next()

    def next(self):
        return json.loads(self.lines.readline())

    def ask(self, command, **arguments):
        """Without a newline at its end."""
        self.socket.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        return self.next()

    def done(self, command, **arguments):
        answer = self.ask(command, **arguments)
        check("return" in answer, f"the line after {command} {arguments} is {answer}")
        return answer["return"]

    def refused(self, command, **arguments):
        answer = self.ask(command, **arguments)
        check("error" in answer, f"the line after {command} {arguments} is {answer}")
        return answer["error"]["desc"]

    def event(self, name):
        line = self.next()
        check(line.get("event") == name, f"the next line is {line}, not event {name}")


@contextlib.contextmanager
def machine(nacre, plugins, *arguments, image=1 << 20):
    """(vm, Lines); the disk is SCRATCH/disk."""
    def prepare(scratch):
        with open(scratch / "disk", "wb") as disk:
            disk.truncate(image)
    with qtest.Machine(nacre, plugins, ["-machine", "q35", *arguments], dialect="stratovirt", memory="2048",
                       prepare=prepare) as vm:
        yield vm, Lines(vm)


def disk(where="bus=pcie.0,addr=4.0"):
    return ["-device", f"virtio-blk-pci,id=drv0,drive=drive0,{where}", "-drive",
            "if=none,id=drive0,file=SCRATCH/disk,format=raw,direct=false"]


class Device:
    """A function of PCI Express with one BAR, by reads and writes of bytes, as the tests make all theirs."""

    next_bar = pci.WINDOW

    def __init__(self, vm, bus, slot):
        self.vm = vm
        self.config = pci.ECAM + (bus << 20 | slot << 15)

    def load(self, offset, width, base=None):
        return int.from_bytes(self.vm.read((self.config if base is None else base) + offset, width), "little")

    def store(self, offset, width, value, base=None):
        self.vm.write((self.config if base is None else base) + offset, value.to_bytes(width, "little"))

    def vendor(self):
        return self.load(0, 2)

    def capability(self, kind, after=0):
        offset = self.load(after + 1 if after else pci.CAPABILITIES, 1)
        while offset and self.load(offset, 1) != kind:
            offset = self.load(offset + 1, 1)
        return offset

    def switch_on(self):
        wanted = self.load(pci.COMMAND, 2) | pci.IO | pci.MEMORY | pci.MASTER
        self.store(pci.COMMAND, 2, wanted)
        command = self.load(pci.COMMAND, 2)
        check(command == wanted, f"of Command {wanted:#x} sticks {command:#x}")

    def place_bar(self, number):
        """While it is decoded."""
        self.store(pci.BAR0 + 4 * number, 4, 0xffffffff)
        mask = self.load(pci.BAR0 + 4 * number, 4) & ~15
        check(mask, f"BAR {number} has no size")
        size = mask & -mask
        place = (Device.next_bar + size - 1) // size * size
        Device.next_bar = place + size
        self.store(pci.BAR0 + 4 * number, 4, place)
        return place

    def enable_msix(self):
        at = self.capability(pci.MSIX)
        self.store(at + 2, 2, self.load(at + 2, 2) | 0x8000)
        table = self.load(at + 4, 4)
        self.table = self.place_bar(table & 7) + (table & ~7)

    def send_vector(self, vector, address):
        entry = self.table + 16 * vector
        self.store(0, 4, address, entry)
        self.store(4, 4, 0, entry)
        self.store(8, 4, DATA, entry)
        self.store(12, 4, self.load(12, 4, entry) & ~1, entry)

    def took_message(self, address):
        return self.vm.took_message(address, DATA)


class Virtio(Device):
    """A virtio device by its modern registers; `ring` is its queue 0 after start()."""

    def __init__(self, vm, bus, slot):
        super().__init__(vm, bus, slot)
        check(self.vendor() == 0x1af4, f"there is {self.vendor():#x} at bus {bus} slot {slot}")
        place, at = {}, 0
        while at := self.capability(pci.VENDOR_SPECIFIC, at):
            place.setdefault(self.load(at + 3, 1), (self.load(at + 8, 4), self.load(at + 4, 1)))
        self.switch_on()
        base = self.place_bar(place[1][1])
        self.common, self.notify, self.device = (base + place[kind][0] for kind in (1, 2, 4))

    def get(self, offset, width):
        return self.load(offset, width, self.common)

    def set(self, offset, width, value):
        self.store(offset, width, value, self.common)

    def status(self):
        return self.get(0x14, 1)

    def set_status(self, value):
        """Every bit must read back."""
        self.set(0x14, 1, value)
        check(self.status() == value, f"status {value:#x} reads back as {self.status():#x}")

    def _features(self, select, register):
        value = 0
        for half in (0, 1):
            self.set(select, 4, half)
            value |= self.get(register, 4) << 32 * half
        return value

    def offered(self):
        return self._features(0, 4)

    def accepted(self):
        return self._features(8, 12)

    def accept(self, bits):
        for half in (0, 1):
            self.set(8, 4, half)
            self.set(12, 4, bits >> 32 * half & 0xffffffff)

    def set_queue(self, number, ring):
        self.set(0x16, 2, number)
        for offset, at in ((0x20, ring.desc), (0x28, ring.avail), (0x30, ring.used)):
            self.set(offset, 4, at)
            self.set(offset + 4, 4, 0)
        self.set(0x1a, 2, number + 1)
        self.set(0x1c, 2, 1)
        self.send_vector(number + 1, MESSAGE + 4 * number)

    def start(self, features=VERSION_1, queues=1):
        self.set_status(0)
        for status in (ACKNOWLEDGE, ACKNOWLEDGE | DRIVER):
            self.set_status(status)
        self.accept(features)
        check(self.accepted() == features, f"of features {features:#x} are taken {self.accepted():#x}")
        self.set_status(AGREED)
        self.enable_msix()
        self.rings = []
        for number in range(queues):
            self.set(0x16, 2, number)
            self.rings.append(Ring(self.vm, RINGS + 0x10000 * number, self.get(0x18, 2)))
            self.set_queue(number, self.rings[-1])
        self.ring = self.rings[0]
        self.set_status(AGREED | DRIVER_OK)

    def kick(self, number=0):
        self.store(4 * number, 2, number, self.notify)

    def answered(self, number=0):
        """Waits for the queue's message and for what is used then."""
        self.vm.wait_for(lambda: self.took_message(MESSAGE + 4 * number), "the message of the queue")
        self.vm.wait_for(self.rings[number].is_used, "a used buffer")
        return self.rings[number].take()


def transfer(device, kind, sector, data=b""):
    """One request of a disk; (status, the first bytes of its data)."""
    device.vm.write(REQUEST, kind.to_bytes(4, "little") + bytes(4) + sector.to_bytes(8, "little"))
    device.vm.write(REQUEST + 16, data.ljust(SECTOR, b"\0") + b"\xff")
    device.ring.offer(device.ring.chain([(REQUEST, 16, False), (REQUEST + 16, SECTOR, kind == READ),
                                         (REQUEST + 16 + SECTOR, 1, True)]))
    device.kick()
    device.answered()
    return device.load(0, 1, REQUEST + 16 + SECTOR), device.vm.read(REQUEST + 16, 4)


def must_keep_data(device):
    status, _ = transfer(device, WRITE, 1, b"TEST")
    check(status == 0, f"a write ends with status {status}")
    check(transfer(device, READ, 1) == (0, b"TEST"), "the data is not read back")


@case
def start_without_accelerator_and_kernel(nacre, plugins):
    with machine(nacre, plugins) as (vm, lines):
        check("QMP" in lines.greeting, f"the greeting is {lines.greeting}")
        check(lines.done("qmp_capabilities") == {}, "qmp_capabilities")
        check(vm.raw_request(f"readb {RAM:#x}") == "OK 0x0000000000000000", "the form of an answer")
        check(vm.raw_request("flip 0x1") == "Unsupported command: flip", "the words for what is not known")
        check(lines.done("query-status")["status"] in ("running", "paused"), "query-status")
        check(lines.done("quit") == {}, "quit")
        check(vm.process.wait(qtest.SECONDS) == 0, "it does not end well")
        vm.check_alive = lambda: None


@case
def words_of_their_command_lines(nacre, plugins):
    with machine(nacre, plugins, "-cpu", "host,pmu=on", "-mem-path", '"SCRATCH/memory"') as (vm, _):
        vm.write(RAM, b"test memory read write")
        check(vm.read(RAM, 22) == b"test memory read write", "memory in a file whose path is in quotes")


@case
def help_by_names_on_pci(nacre, plugins):
    for driver, says in (("virtio-blk-pci", "num-queues="), ("virtio-balloon-pci", "auto-balloon="),
                         ("pcie-root-port", "port=")):
        told = subprocess.run([nacre, "-plugin-dir", plugins, "-device", f"{driver},help"], capture_output=True,
                              text=True)
        check(told.returncode == 0 and says in told.stdout, f"{driver},help: {told.stdout}{told.stderr}")


@case
def a_queue_for_each_vcpu(nacre, plugins):
    """Of a disk on PCI for which no number is given; at most 32."""
    for vcpus, given, expected in ((1, "", 1), (3, "", 3), (64, "", 32), (3, ",num-queues=2", 2)):
        with machine(nacre, plugins, "-smp", str(vcpus), *disk(f"bus=pcie.0,addr=4.0{given}")) as (vm, _):
            device = Virtio(vm, 0, 4)
            check(device.get(0x12, 2) == expected, f"{vcpus} vCPUs: {device.get(0x12, 2)} queues")
            check(device.load(34, 2, device.device) == expected, "num_queues of its configuration")
            check(bool(device.offered() & 1 << 12) == (expected > 1), "VIRTIO_BLK_F_MQ")


@case
def what_nobody_has_reads_as_zeros(nacre, plugins):
    with machine(nacre, plugins) as (vm, _):
        check(vm.read(1 << 40, 22) == bytes(22), "memory beyond RAM")
        check(vm.readl(0xd0000000) == 0, "a window without a device")
        check(vm.read(pci.ECAM + (9 << 15), 4) == b"\xff" * 4, "the configuration of no function")


@case
def disk_whose_bar_is_sized_while_decoded(nacre, plugins):
    with machine(nacre, plugins, *disk()) as (vm, lines):
        device = Virtio(vm, 0, 4)
        device.start()
        check(device.load(0, 8, device.device) == (1 << 20) // SECTOR, "its capacity")
        must_keep_data(device)
        lines.done("qmp_capabilities")


@case
def disk_of_less_than_a_sector(nacre, plugins):
    with machine(nacre, plugins, *disk(), image=511) as (vm, _):
        device = Virtio(vm, 0, 4)
        device.start()
        check(device.load(0, 8, device.device) == 0, "it has a sector")
        for kind in (READ, WRITE):
            check(transfer(device, kind, 0)[0] == 1, "a transfer is no I/O error")


@case
def status_as_it_was_written(nacre, plugins):
    """Out of order too: the device stays inactive."""
    with machine(nacre, plugins, *disk()) as (vm, _):
        device = Virtio(vm, 0, 4)
        for orders in ([ACKNOWLEDGE, DRIVER, DRIVER_OK], [DRIVER, ACKNOWLEDGE, DRIVER_OK], [DRIVER_OK]):
            device.set_status(0)
            for number in range(len(orders)):
                device.set_status(sum(orders[:number + 1]))
            device.kick()
            check(not device.status() & NEEDS_RESET, "an inactive device has broken")
        device.set_status(0)
        device.set_status(DRIVER)
        device.accept(VERSION_1)
        device.set_status(DRIVER | FEATURES_OK)
        check(device.get(0x15, 1) == 0, "the generation after a reset")
        device.start()
        must_keep_data(device)


@case
def features_that_are_not_offered(nacre, plugins):
    with machine(nacre, plugins, *disk()) as (vm, _):
        device = Virtio(vm, 0, 4)
        device.set_status(0)
        device.set_status(ACKNOWLEDGE)
        device.set_status(ACKNOWLEDGE | DRIVER)
        device.accept((1 << 64) - 1)
        check(device.accepted() == device.offered(), f"{device.accepted():#x} of {device.offered():#x}")


@case
def registers_by_bytes(nacre, plugins):
    with machine(nacre, plugins, *disk()) as (vm, _):
        device = Virtio(vm, 0, 4)
        vm.writeb(device.common, 5)
        check(vm.readb(device.common) == 5 and vm.readl(device.common) == 5, "a byte of a register")
        vm.writeb(device.common + 1, 2)
        check(vm.readl(device.common) == 0x205 and vm.readw(device.common + 2) == 0, "its second byte")
        vm.writew(device.common, 0)
        check(vm.readl(device.common) == 0, "its lower half")


@case
def first_interrupt_whatever_is_asked_for(nacre, plugins):
    with machine(nacre, plugins, *disk()) as (vm, _):
        device = Virtio(vm, 0, 4)
        device.start(VERSION_1 | EVENT_IDX)
        device.ring.set_used_event(1)
        check(transfer(device, WRITE, 0)[0] == 0, "the first request")
        vm.settle()
        check(not device.took_message(MESSAGE), "a second message")


class Port(Device):
    """A root port of which no window is opened: bus numbers are all that it is given."""

    def __init__(self, vm, slot=1, bus=1):
        super().__init__(vm, 0, slot)
        for offset, number in ((0x18, 0), (0x19, bus), (0x1a, bus)):
            self.store(offset, 1, number)
        self.switch_on()
        self.enable_msix()
        self.send_vector(0, MESSAGE + 0x100)
        self.express = self.capability(0x10)
        self.control(BUTTON | PRESENCE | COMPLETED | HOTPLUG, 0)
        self.clear()

    def control(self, bits, mask=SLOT_POWER):
        at = self.express + 0x18
        self.store(at, 2, self.load(at, 2) & ~mask | bits)

    def status(self):
        return self.load(self.express + 0x1a, 2)

    def clear(self):
        self.store(self.express + 0x1a, 2, self.status() & (BUTTON | PRESENCE | COMPLETED))

    def has_said(self, bits):
        self.vm.wait_for(lambda: self.took_message(MESSAGE + 0x100), "the port's message")
        check(self.status() & bits == bits, f"Slot Status is {self.status():#x}")
        self.clear()


PORT = ["-device", "pcie-root-port,port=0x0,chassis=1,bus=pcie.0,addr=0x1.0,id=pcie.1"]


def add_disk(lines, name, vm, addr="0x0.0x0", bus="pcie.1"):
    answer = lines.ask("blockdev-add", **{"node-name": name, "file": {"driver": "file", "filename": str(
        vm.scratch / "disk"), "aio": "native"}, "cache": {"direct": True}, "read-only": False})
    check(answer.get("return") == {}, f"the line after blockdev-add is {answer}")
    return lines.ask("device_add", id=name, driver="virtio-blk-pci", drive=name, addr=addr, bus=bus)


@case
def plug_and_unplug_below_a_port_without_windows(nacre, plugins):
    with machine(nacre, plugins, *PORT) as (vm, lines):
        port = Port(vm)
        for _ in range(2):
            answer = add_disk(lines, "blk-0", vm)
            check(answer.get("return") == {}, f"the line after device_add is {answer}")
            port.has_said(PRESENCE | BUTTON)
            port.control(SLOT_ON)
            device = Virtio(vm, 1, 0)
            device.start()
            must_keep_data(device)
            check(lines.done("device_del", id="blk-0") == {}, "device_del")
            port.has_said(BUTTON)
            port.control(SLOT_OFF)
            lines.event("DEVICE_DELETED")
            port.has_said(COMPLETED)
            check(device.vendor() == 0xffff, f"after it has gone there is {device.vendor():#x}")
            check(lines.done("blockdev-del", **{"node-name": "blk-0"}) == {}, "blockdev-del")


@case
def disk_of_the_command_line_below_a_port(nacre, plugins):
    with machine(nacre, plugins, *PORT, *disk("bus=pcie.1,addr=0.0")) as (vm, _):
        port = Device(vm, 0, 1)
        for offset in (0x19, 0x1a):
            port.store(offset, 1, 1)
        check(port.load(pci.COMMAND, 2) == 0, "the port decodes")
        device = Virtio(vm, 1, 0)
        device.start()
        must_keep_data(device)


@case
def plugs_that_are_refused(nacre, plugins):
    with machine(nacre, plugins, *PORT) as (vm, lines):
        check("error" in add_disk(lines, "a", vm, addr="0x1.0x0"), "a second slot below a port")
        check(lines.done("blockdev-del", **{"node-name": "a"}) == {}, "blockdev-del")
        check("error" in add_disk(lines, "b", vm, bus="pcie.0"), "a bus without ports")
        check(lines.done("blockdev-del", **{"node-name": "b"}) == {}, "blockdev-del")
        check("error" in add_disk(lines, "c", vm, bus="pcie.7"), "a bus that is not there")
        check(lines.refused("device_del", id="blk-0"), "device_del of what is not there")


def add_cpu(lines, name, number):
    return lines.ask("device_add", id=name, driver="generic-x86-cpu", **{"cpu-id": number})


@case
def vcpus_that_come_and_go(nacre, plugins):
    with machine(nacre, plugins, "-smp", "1,maxcpus=2") as (vm, lines):
        check(add_cpu(lines, "vcpu-1", 1).get("return") == {}, "device_add")
        lines.event("CPU_RESIZE")
        vm.wait_for(lambda: vm.readl(EVENTS) == CPU_EVENT, "the event of the new vCPU")
        check(lines.done("device_del", id="vcpu-1") == {}, "device_del")
        vm.wait_for(lambda: vm.readl(EVENTS) == CPU_EVENT, "the event of the vCPU that shall go")


@case
def vcpus_that_are_refused(nacre, plugins):
    for smp, there, wanted, words in (
            ("1,maxcpus=3", [("vcpu-1", 1)], ("vcpu-1", 2), "Device id vcpu-1 already existed."),
            ("1,maxcpus=3", [("vcpu-1", 1)], ("vcpu-2", 1), "Cpu-id 1 is running, device id is vcpu-1."),
            ("1,maxcpus=2", [], ("", 1), "Device id can't be empty."),
            ("1,maxcpus=2", [], ("vcpu-0", 0), "Cpu-id 0 already exist."),
            ("1,maxcpus=2", [], ("vcpu-2", 2), "Max cpu-id is 1"),
            ("1", [], ("vcpu-1", 1), "There is no hotpluggable cpu-id for this VM.")):
        with machine(nacre, plugins, "-smp", smp) as (_, lines):
            for name, number in there:
                check(add_cpu(lines, name, number).get("return") == {}, f"{name} is not added")
                lines.event("CPU_RESIZE")
            answer = add_cpu(lines, *wanted)
            check(answer.get("error", {}).get("desc") == words, f"vCPU {wanted} is answered {answer}")


@case
def balloon_as_it_is_asked_for(nacre, plugins):
    deflate_on_oom, reporting, message = 1 << 2, 1 << 5, 1 << 16
    for properties, features, queues in (
            ("free-page-reporting=false,auto-balloon=false,membuf-percent=0,monitor-interval=0", 0, 2),
            ("deflate-on-oom=true,free-page-reporting=true", deflate_on_oom | reporting, 3),
            ("free-page-reporting=true,auto-balloon=true,membuf-percent=60,monitor-interval=20",
             reporting | message, 4)):
        balloon = f"virtio-balloon-pci,id=drv0,bus=pcie.0,addr=4.0,{properties}"
        with machine(nacre, plugins, "-device", balloon) as (vm, _):
            device = Virtio(vm, 0, 4)
            check(device.offered() == VERSION_1 | features, f"{properties} offers {device.offered():#x}")
            check(device.get(0x12, 2) == queues, f"{properties} has {device.get(0x12, 2)} queues")
            device.start(device.offered(), queues)
            if features & message:
                check((device.load(16, 4, device.device), device.load(20, 4, device.device)) == (60, 20),
                      "a driver does not read what it shall keep to")
            if features & reporting:
                page = RAM + 0x1000000
                vm.write(page, b"free")
                device.rings[2].offer(device.rings[2].chain([(page, 4096, True)]))
                device.kick(2)
                device.answered(2)
                check(vm.read(page, 4) == bytes(4), "the reported page is still there")


@case
def console_whose_driver_breaks_the_protocol(nacre, plugins):
    with machine(nacre, plugins, "-device", "virtio-serial-pci,id=serial0,bus=pcie.0,addr=4.0", "-chardev", "null,id=c",
                 "-device", "virtconsole,chardev=c,id=console0,nr=0") as (vm, _):
        device = Virtio(vm, 0, 4)
        check(device.load(4, 4, device.device) == 31, "the number of ports")
        for message, answer in ((b"\0", 1024), (b"\0\0\0\0\0\0\1\0", 1)):
            device.start(device.offered(), 4)
            vm.write(REQUEST, message)
            device.rings[2].offer(device.rings[2].chain([(REQUEST + 0x1000, answer, True)]))
            device.kick(2)
            device.rings[3].offer(device.rings[3].chain([(REQUEST, len(message), False)]))
            device.kick(3)
            vm.wait_for(lambda: device.status() & NEEDS_RESET, "the device's complaint")
