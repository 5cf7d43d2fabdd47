"""Devices of the boards themselves: power registers and button, the events of vCPUs, firmware configuration, flash."""

import struct

import pci
import qtest
from bench import case, check
from management import Management

RAM = 0x100000


def story(vm, line):
    """What has become of the line since this was asked last."""
    vm.settle()
    told = [what for what, number in vm.irqs if number == line]
    vm.irqs.clear()
    return told


# The power registers (ACPI 6.4 §4.8.3) and the button's interrupt

POWER = {"microvm": (0x600, 3), "q35": (0xce9, 5)}  # ports: sleep control, sleep status, reset; the line


def power_machines(nacre, plugins):
    for name, (base, line) in POWER.items():
        with qtest.Machine(nacre, plugins, ["-machine", name]) as vm:
            vm.request("irq_intercept_in ioapic")
            yield vm, base, line, Management(vm)


@case
def power_button_is_a_pulse(nacre, plugins):
    """One edge for each time it is pressed, and none for anything else; the machine goes on."""
    for vm, base, line, management in power_machines(nacre, plugins):
        check(story(vm, line) == [], "the button's line moved by itself")
        for _ in range(3):
            management.done("system_powerdown")
            management.wait_for("POWERDOWN")
            check(story(vm, line) == ["raise", "lower"], "the button was not told by one pulse")
        vm.outb(base, 0x14)
        management.done("query-status")
        check(story(vm, line) == [] and "SHUTDOWN" not in management.events, "an enable bit that is missing was enough")
        check([vm.inb(base + port) for port in range(3)] == [0, 0, 0], "the registers show something")


@case
def reset_register_resets_the_machine(nacre, plugins):
    for vm, base, line, management in power_machines(nacre, plugins):
        vm.outb(base + 2, 2)
        vm.settle()
        management.done("query-status")
        check("RESET" not in management.events, "a wrong value has reset the machine")
        vm.outb(base + 2, 1)
        management.wait_for("RESET")
        vm.outb(base + 2, 1)  # and again
        management.wait_for("RESET")
        management.done("system_powerdown")
        check(story(vm, line) == ["raise", "lower"], "the button does not work after a reset")


@case
def keyboard_controller_pulses_the_reset_line(nacre, plugins):
    """That of q35; microvm has none. The status says that there is no controller, and that it takes a command."""
    for name in POWER:
        with qtest.Machine(nacre, plugins, ["-machine", name]) as vm:
            management = Management(vm)
            check(vm.inb(0x64) == 0xfd, f"{name}: the status is {vm.inb(0x64):#x}")
            vm.outb(0x64, 0xff)  # pulses nothing
            if name == "microvm":
                vm.outb(0x64, 0xfe)
            vm.settle()
            management.done("query-status")
            check("RESET" not in management.events, f"{name}: reset by a command that means nothing to it")
            for _ in range(2 if name == "q35" else 0):
                vm.outb(0x64, 0xfe)
                management.wait_for("RESET")
                check(vm.inb(0x64) == 0xfd, "the status after a reset")


@case
def sleep_register_ends_the_machine(nacre, plugins):
    for name, (base, _) in POWER.items():
        vm = qtest.Machine(nacre, plugins, ["-machine", name])
        try:
            management = Management(vm)
            vm.outb(base, 0x34)
            management.wait_for("SHUTDOWN")
            check(vm.process.wait(qtest.SECONDS) == 0, "the machine did not end well")
        finally:
            vm.close()


@case
def fixed_power_block_of_q35(nacre, plugins):
    """ICH9's: enable register, events that are ACPI's, the timer; and its soft-off."""
    vm = qtest.Machine(nacre, plugins, ["-machine", "q35"])
    try:
        management = Management(vm)
        vm.request("outw 0x602 0x0120")
        check(int(vm.request("inw 0x602"), 16) == 0x0120, "the enable register does not keep its value")
        check(int(vm.request("inw 0x600"), 16) == 0, "there is a status without an event")
        check(int(vm.request("inw 0x604"), 16) & 1, "the events are not ACPI's")
        for step in range(1, 6):
            before = vm.inl(0x608)
            vm.clock_step(step * 1_000_000)
            ticks = vm.inl(0x608) - before & 0xffffff
            check(abs(ticks - step * 3579.545) <= 1, f"{ticks} ticks of the timer in {step} ms")
        vm.request("outw 0x604 0x2400")  # a sleep type that means nothing
        vm.settle()
        management.done("query-status")
        check("SHUTDOWN" not in management.events, "a sleep type that means nothing has ended the machine")
        vm.request("outw 0x604 0x2000")
        check(vm.process.wait(qtest.SECONDS) == 0, "the machine did not end at soft-off")
    finally:
        vm.close()
    vm = qtest.Machine(nacre, plugins, ["-machine", "q35"])
    try:
        vm.request("outw 0x604 0x3401")  # type 5, as the DSDT has it
        check(vm.process.wait(qtest.SECONDS) == 0, "the machine did not end at the DSDT's soft-off")
    finally:
        vm.close()


# The generic event device and the vCPUs it tells of

EVENTS, SELECT, STATUS, RESULT, CPU_LINE = 0xf0000000, 0xf0000004, 0xf0000005, 0xf0000006, 6


@case
def vcpu_comes_with_an_event_and_leaves_when_it_is_ejected(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "q35", "-smp", "1,maxcpus=3"]) as vm:
        management = Management(vm)
        vm.request("irq_intercept_in ioapic")
        check(vm.readl(EVENTS) == 0 and story(vm, CPU_LINE) == [], "there is an event before anything has happened")
        for _ in range(2):
            management.done("device_add", id="c", driver="generic-x86-cpu", **{"cpu-id": 2})
            check(story(vm, CPU_LINE) == ["raise", "lower"], "no pulse tells that a vCPU has come")
            check(vm.readw(EVENTS) == 0xffff, "a read of another width has given something")
            check(vm.readl(EVENTS) == 16 and vm.readl(EVENTS) == 0, "the event is not there once")
            check(vm.readb(SELECT) == 2, "another vCPU is named")
            vm.writeb(SELECT, 2)
            check(vm.readb(STATUS) == 3, f"the status of one that has come is {vm.readb(STATUS)}")
            vm.writeb(STATUS, 2)
            check(vm.readb(STATUS) == 1, "the insertion is not forgotten when it is cleared")
            vm.writeb(STATUS, 8)
            vm.settle()
            check(len(management.done("query-cpus")) in (1, 2), "vCPUs were made")
            if not vm.readb(STATUS) & 1:  # the guest gave it up unasked
                management.wait_for("DEVICE_DELETED")
                continue
            management.done("device_del", id="c")
            check(story(vm, CPU_LINE) == ["raise", "lower"], "no pulse tells that a vCPU shall go")
            check(vm.readl(EVENTS) == 16 and vm.readb(STATUS) & 4, "the request is not shown")
            vm.writeb(STATUS, 4)
            vm.writeb(STATUS, 8)
            management.wait_for("DEVICE_DELETED")
        check(len(management.done("query-cpus")) == 1, "a vCPU is left")


@case
def vcpu_that_the_guest_keeps(nacre, plugins):
    """_OST says no: the device stays, and can be asked for again."""
    with qtest.Machine(nacre, plugins, ["-machine", "q35", "-smp", "1,maxcpus=2"]) as vm:
        management = Management(vm)
        management.done("device_add", id="c", driver="generic-x86-cpu", **{"cpu-id": 1})
        vm.writeb(SELECT, 1)
        vm.writeb(STATUS, 2)
        for code in (0x80, 1):
            management.done("device_del", id="c")
            check(vm.readb(STATUS) == 5, f"the status of one that shall go is {vm.readb(STATUS)}")
            vm.writeb(STATUS, 4)
            vm.writeb(RESULT, code)
        management.done("system_reset")
        check(len(management.done("query-cpus")) == 2, "a vCPU that was kept is gone after a reset")
        check(vm.readl(EVENTS) == 0, "a guest that begins anew is told of an event")
        management.done("device_del", id="c")
        management.done("system_reset")
        management.wait_for("DEVICE_DELETED")
        check(len(management.done("query-cpus")) == 1, "a vCPU that shall go has outlived a reset")


# Firmware configuration and flash

FLASH, SECTOR, VARIABLES = 64 << 10, 4096, 32 << 10
FLASH_END = 1 << 32
CODE, VARS = FLASH_END - FLASH, FLASH_END - FLASH - VARIABLES


def firmware(nacre, plugins, *more):
    def prepare(scratch):
        (scratch / "disk").write_bytes(bytes(512))
        (scratch / "code").write_bytes(bytes(range(256)) * (FLASH // 256))
        (scratch / "vars").write_bytes(b"\xff" * VARIABLES)
    return qtest.Machine(nacre, plugins, ["-machine", "q35", "-smp", "2,maxcpus=4", "-drive",
                                          "if=pflash,unit=0,id=f0,file=SCRATCH/code,readonly=on", "-drive",
                                          "if=pflash,unit=1,id=f1,file=SCRATCH/vars", *more],
                         prepare=prepare)


class FwCfg:
    ERROR, READ, SKIP, SELECT, WRITE = 1, 2, 4, 8, 16

    def __init__(self, vm):
        self.vm = vm

    def item(self, key, length):
        self.vm.request(f"outw 0x510 {key:#x}")
        return bytes(self.vm.inb(0x511) for _ in range(length))

    def directory(self):
        """{name: (key, size)}"""
        count, = struct.unpack(">I", self.item(0x19, 4))
        data = self.item(0x19, 4 + 64 * count)[4:]
        files = {}
        for at in range(0, len(data), 64):
            size, key, _, name = struct.unpack(">IHH56s", data[at:at + 64])
            files[name.rstrip(b"\0").decode()] = (key, size)
        return files

    def copy(self, control, length, to, command=RAM):
        """The control word that a command leaves."""
        self.vm.write(command, struct.pack(">IIQ", control, length, to))
        self.start(command)
        self.vm.settle()
        return struct.unpack(">I", self.vm.read(command, 4))[0]

    def start(self, command):
        self.vm.outl(0x514, int.from_bytes((command >> 32).to_bytes(4, "big"), "little"))
        self.vm.outl(0x518, int.from_bytes((command & 0xffffffff).to_bytes(4, "big"), "little"))


@case
def fw_cfg_items_by_the_data_register(nacre, plugins):
    with firmware(nacre, plugins) as vm:
        device = FwCfg(vm)
        check(device.item(0, 4) == b"QEMU" and device.item(0, 4) == b"QEMU", "the signature, twice")
        check(struct.unpack("<I", device.item(1, 4))[0] & 3 == 3, "neither registers nor copies")
        check(device.item(5, 2) == b"\2\0" and device.item(15, 2) == b"\4\0", "the numbers of vCPUs")
        check(device.item(3, 8) == struct.pack("<Q", 128 << 20), "the size of RAM")
        check(device.item(0, 8) == b"QEMU" + bytes(4), "behind its end an item is not 0")
        check(device.item(0x3fff, 4) == bytes(4), "an item that is not there is not 0")
        files = device.directory()
        check({"etc/e820", "etc/acpi/tables", "etc/acpi/rsdp", "etc/table-loader"} <= set(files), f"files: {files}")
        check(vm.inl(0x514) == struct.unpack("<I", b"QEMU")[0], "the copies' register does not say what it is")
        vm.request("outb 0x510 5")  # of a width that selects nothing
        device.item(0, 0)
        vm.request("outb 0x511 0x41")
        check(device.item(0, 4) == b"QEMU", "an item was written")
        check(int(vm.request("inw 0x511"), 16) in (0, 0xffff), "a wide read of the data register gives data")
        check(device.item(0, 4) == b"QEMU", "a wide read has moved on")


def boot_disk(name, place, *more):
    return ["-drive", f"id={name},file=SCRATCH/disk,direct=off,readonly=on", "-device",
            ",".join((f"virtio-blk-pci,drive={name},id={name}", place, *more))]


@case
def fw_cfg_bootorder(nacre, plugins):
    """The disks with a bootindex, by its order and by their places; a disk that comes is in it after a reset."""
    def path(places):
        bridge = "".join(f"/pci-bridge@{port}" for port in places[:-1])
        return f"/pci@i0cf8{bridge}/scsi@{places[-1]}/disk@0,0"

    def order(device):
        key, size = device.directory().get("bootorder", (0, 0))
        return device.item(key, size)

    ports = [word for slot in (3, 4) for word in
             ("-device", f"pcie-root-port,id=port{slot},bus=pcie.0,addr={slot:#x},port={slot}")]
    with firmware(nacre, plugins, *ports, *boot_disk("never", "addr=0x7"),
                  *boot_disk("last", "addr=0x1e.0x1", "bootindex=255"),
                  *boot_disk("second", "addr=0x1e", "bootindex=7", "multifunction=on"),
                  *boot_disk("first", "bus=port3,addr=0x0", "bootindex=0")) as vm:
        device, management = FwCfg(vm), Management(vm)
        want = [path(["3", "0"]), path(["1e"]), path(["1e,1"])]
        check(order(device) == "\n".join(want).encode() + b"\0", f"the order is {order(device)}")
        management.done("blockdev-add", **{"node-name": "new", "driver": "raw", "read-only": True, "cache": {
            "direct": False}, "file": {"driver": "file", "filename": str(vm.scratch / "disk")}})
        come = {"id": "new", "driver": "virtio-blk-pci", "bus": "port4", "addr": "0x0"}
        said = management.refused("device_add", boot_index=7, **come)
        check("bootindex 7" in said and "'second'" in said, f"one that is taken: {said}")
        said = management.refused("device_add", boot_index=256, **come)
        check("bootindex" in said and "255" in said, f"one that is too great: {said}")
        management.done("device_add", boot_index=5, **come)
        check(order(device) == "\n".join(want).encode() + b"\0", "the order changes under a guest")
        management.done("system_reset")
        management.wait_for("RESET")
        want.insert(1, path(["4", "0"]))
        check(order(device) == "\n".join(want).encode() + b"\0", f"after a reset the order is {order(device)}")
    with firmware(nacre, plugins, *boot_disk("never", "addr=0x7")) as vm:
        check("bootorder" not in FwCfg(vm).directory(), "an order that nobody has asked for")


@case
def bootindex_is_of_one_disk(nacre, plugins):
    try:
        with firmware(nacre, plugins, *boot_disk("one", "addr=0x2", "bootindex=3"),
                      *boot_disk("other", "addr=0x3", "bootindex=3")):
            check(False, "two disks with the same bootindex were taken")
    except qtest.Failure as failure:
        check("'other'" in str(failure) and "bootindex 3 is that of device 'one'" in str(failure), f"{failure}")


@case
def kernel_that_firmware_does_not_start(nacre, plugins):
    """The user is told, by the kind of both; of firmware that nobody here knows nothing is said."""
    uefi, seabios = bytes(40) + b"_FVH", b"SeaBIOS (version %s)"
    for code, kernel, says in ((uefi, b"\x7fELF", "UEFI firmware"), (uefi, b"MZ", None), (seabios, b"MZ", "SeaBIOS"),
                               (b"other", b"\x7fELF", None)):
        def prepare(scratch):
            (scratch / "code").write_bytes(code.ljust(FLASH, b"\0"))
            (scratch / "kernel").write_bytes(kernel.ljust(4096, b"\0"))
        with qtest.Machine(nacre, plugins, ["-machine", "q35", "-kernel", "SCRATCH/kernel", "-drive",
                                            "if=pflash,unit=0,file=SCRATCH/code,readonly=on"], prepare=prepare) as vm:
            told = says is not None and says in vm.log() and "/kernel' " in vm.log()
            check(told if says else "kernel" not in vm.log(), f"{code[:16]} and {kernel}: the log is {vm.log()}")


@case
def fw_cfg_copies(nacre, plugins):
    """Against the data register, all lengths; skips; and what is refused leaves the error bit and memory as it was."""
    with firmware(nacre, plugins) as vm:
        device = FwCfg(vm)
        key, size = device.directory()["etc/acpi/tables"]
        want = device.item(key, size)
        to = RAM + 0x10000
        for length in (0, 1, 3, size, size + 100):
            vm.write(to - 1, b"\xaa" * (length + 2))
            left = device.copy(key << 16 | device.SELECT | device.READ, length, to)
            check(left == 0, f"a copy of {length} bytes ends with {left:#x}")
            check(vm.read(to - 1, length + 2) == b"\xaa" + want[:length].ljust(length, b"\0") + b"\xaa",
                  f"{length} bytes were copied wrongly")
        check(device.copy(key << 16 | device.SELECT | device.SKIP, 10, 0) == 0, "a skip")
        check(device.copy(device.READ, 4, to) == 0 and vm.read(to, 4) == want[10:14], "a read after a skip")
        check(bytes([vm.inb(0x511)]) == want[14:15], "the data register does not go on where the copy ended")
        for what, control, length, at in (("a write", device.WRITE, 4, to),
                                          ("a copy to no memory", device.SELECT | device.READ, 4, 0x9000000),
                                          ("a copy over the end of RAM", device.SELECT | device.READ, 16, 0x7fffff8),
                                          ("a copy to flash", device.SELECT | device.READ, 4, CODE),
                                          ("a copy to registers", device.SELECT | device.READ, 4, EVENTS),
                                          ("a long copy to no memory", device.SELECT | device.READ, 1 << 31, 1 << 62),
                                          ("a copy that wraps", device.SELECT | device.READ, 64, (1 << 64) - 16)):
            vm.write(to, bytes(16))
            check(device.copy(control, length, at) == device.ERROR, f"{what} is not refused")
            check(vm.read(to, 16) == bytes(16), f"{what} has written")
        for command in (0x7fffff8, 0x9000000, (1 << 64) - 8, CODE):
            device.start(command)
        vm.settle()
        check(device.copy(device.SELECT | device.READ, 4, to) == 0 and vm.read(to, 4) == b"QEMU",
              "a command that is not in RAM has done harm")


@case
def fw_cfg_long_copy_is_the_loops(nacre, plugins):
    """Of 32 MiB: the machine answers meanwhile, a second command is not heard, and the end is told once."""
    with firmware(nacre, plugins) as vm:
        device = FwCfg(vm)
        to, length, second = 0x2000000, 32 << 20, RAM + 0x1000
        vm.write(second, struct.pack(">IIQ", device.SELECT | device.READ, 4, RAM + 0x2000))
        vm.write(RAM, struct.pack(">IIQ", device.SELECT | device.READ, length, to))
        vm.write(to + length - 4, b"last")
        device.start(RAM)
        device.start(second)
        vm.wait_for(lambda: vm.read(RAM, 4) == bytes(4), "the end of the copy")
        check(vm.read(to, 8) == b"QEMU" + bytes(4) and vm.read(to + length - 4, 4) == bytes(4), "not all was copied")
        device.copy(device.SELECT | device.READ, 4, RAM + 0x3000)
        check(vm.read(RAM + 0x3000, 4) == b"QEMU", "no copy works after a long one")
        management = Management(vm)
        vm.write(RAM, struct.pack(">IIQ", device.SELECT | device.READ, length, to))
        device.start(RAM)
        management.done("system_reset")
        management.wait_for("RESET")
        check(device.item(0, 4) == b"QEMU", "nothing works after a reset in the middle of a copy")


@case
def flash_is_memory_until_a_command(nacre, plugins):
    with firmware(nacre, plugins) as vm:
        content = bytes(range(256))
        check(vm.read(CODE + 0x100, 256) == content and vm.readl(FLASH_END - 16) == 0xf3f2f1f0, "the code is not shown")
        check(vm.read(0xe0000 + 0x10000, 256) == content, "the code is not shown below 1 MiB")
        vm.writeb(CODE, 0x98)
        check([vm.readb(CODE + at) for at in (0x10, 0x11, 0x12)] == list(b"QRY"), "no answer to the query")
        check(1 << vm.readb(CODE + 0x27) == FLASH, "the query gives another size")
        vm.writeb(CODE, 0x90)
        check(vm.readb(CODE) == 0x89, "no identity")
        vm.writeb(CODE, 0x70)
        check(vm.readb(CODE) & 0x80, "it is not ready")
        check(vm.read(VARS, 4) == b"\xff" * 4, "the other chip has heard a command")
        vm.writeb(CODE, 0xff)
        check(vm.read(CODE, 256) == content, "it does not come back to its array")


@case
def flash_programs_and_erases_into_its_file(nacre, plugins):
    with firmware(nacre, plugins) as vm:
        def content():
            return (vm.scratch / "vars").read_bytes()

        def status():
            value = vm.readb(VARS)
            vm.writeb(VARS, 0x50)
            vm.writeb(VARS, 0xff)
            return value
        vm.writeb(VARS + 5, 0x40)
        vm.writeb(VARS + 5, 0x5a)
        check(status() & 0xb0 == 0x80, "a byte cannot be programmed")
        vm.writeb(VARS + 5, 0x10)
        vm.writeb(VARS + 5, 0xf0)
        check(status() & 0xb0 == 0x80 and vm.readb(VARS + 5) == 0x50, "programming has set bits, or cleared none")
        vm.writeb(VARS + SECTOR, 0xe8)
        vm.writeb(VARS + SECTOR, 7)
        for at, byte in enumerate(b"buffered"):
            vm.writeb(VARS + SECTOR + at, byte)
        vm.writeb(VARS + SECTOR, 0xd0)
        check(status() & 0xb0 == 0x80 and vm.read(VARS + SECTOR, 9) == b"buffered\xff", "a buffered write")
        vm.wait_for(lambda: content()[SECTOR:SECTOR + 8] == b"buffered" and content()[5] == 0x50, "the file")
        vm.writeb(VARS + SECTOR - 1, 0x20)
        vm.writeb(VARS + SECTOR - 1, 0xd0)
        check(status() & 0xb0 == 0x80, "a sector cannot be erased")
        check(vm.read(VARS, SECTOR) == b"\xff" * SECTOR and vm.read(VARS + SECTOR, 8) == b"buffered",
              "not one sector was erased")
        vm.wait_for(lambda: content()[5] == 0xff, "the erasure in the file")
        Management(vm).done("system_reset")
        check(vm.read(VARS + SECTOR, 8) == b"buffered", "a reset has taken what was programmed")


@case
def flash_refuses_what_it_cannot_do(nacre, plugins):
    with firmware(nacre, plugins) as vm:
        for what, chip, writes, failed in (
                ("programming code", CODE, (0x40, 0), 0x12), ("erasing code", CODE, (0x20, 0xd0), 0x22),
                ("an erasure without its confirmation", VARS, (0x20, 0), 0x30),
                ("a buffer of too many words", VARS, (0xe8, 0xff, *[0] * 256, 0x11), 0x30)):
            vm.writeb(chip, 0x50)
            for value in writes:
                vm.writeb(chip, value)
            check(vm.readb(chip) & 0x32 == failed, f"{what}: the status is {vm.readb(chip):#x}")
            vm.writeb(chip, 0x50)
            vm.writeb(chip, 0xff)
        # A buffered write over the end of its block, and then of the array.
        vm.writeb(VARS, 0xe8)
        vm.writeb(VARS, 1)
        vm.writeb(VARS, 0)
        vm.writeb(VARS + 0x4000, 0)
        vm.writeb(VARS, 0xd0)
        check(vm.readb(VARS) & 0x30 == 0x30, "a buffered write into two blocks was taken")
        vm.writeb(VARS, 0xff)
        for at in (VARS + VARIABLES - 1, CODE + FLASH - 1):
            for width in (2, 4, 8):
                vm.store(at, width, 0x40404040)
                vm.load(at, width)
        vm.writeb(VARS, 0xff)
        vm.writeb(CODE, 0xff)
        Management(vm).done("system_reset")
        check(vm.read(VARS, VARIABLES) == b"\xff" * VARIABLES, "what was refused has changed the array")
        check(vm.readb(pci.ECAM) == 0x86, "the machine does not go on")
