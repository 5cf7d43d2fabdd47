"""PCI and hot-plug of the machine q35."""

import devices
import pci
import qtest
from bench import case, check
from management import Management
from virtio import VERSION_1, PciTransport

RAM = 0x100000
CPU_SELECTION, CPU_STATUS, CPU_RESULT = 0xf0000004, 0xf0000005, 0xf0000006  # of the controller of vCPUs
CPU_REMOVE, CPU_EJECT = 4, 8
REFUSED = 1  # an _OST code (ACPI 6.4 §6.3.5)
DISK = devices.ALL["blk"]


@case
def configuration_by_ports_and_by_memory(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "q35"]) as vm:
        for slot, ids in ((0, 0x29c08086), (0x1f, 0x29188086), (5, 0xffffffff)):
            check(vm.readl(pci.ECAM + (slot << 15)) == ids, f"slot {slot} by ECAM")
            check(pci.port_read(vm, 0, slot, 0) == ids, f"slot {slot} by ports")
        for bus in (1, 255):
            check(vm.readl(pci.ECAM + (bus << 20)) == 0xffffffff, f"bus {bus} is not empty")


def with_disk(nacre, plugins, *more):
    return qtest.Machine(nacre, plugins, ["-machine", "q35", "-drive", "id=d,file=SCRATCH/disk,direct=off", "-device",
                                          "virtio-blk-pci,drive=d,id=d,bus=pcie.0,addr=0x4", *more],
                         prepare=DISK.prepare)


@case
def bars_are_sized_while_they_decode(nacre, plugins):
    """Tests of StratoVirt's do so; the registers answer where they were afterwards."""
    with with_disk(nacre, plugins) as vm:
        function, = pci.find(vm, 0x1af4, 0x1042)
        transport = PciTransport(vm, function)
        features = transport.features()
        for number in range(6):
            length, _ = function.size_bar(number)
            check(length & (length - 1) == 0, f"BAR {number} has {length:#x} bytes")
            check(transport.features() == features, f"the registers are gone after BAR {number} was sized")
        for at in (pci.WINDOW + 0x8000000, pci.WINDOW):
            bar = min(number for number in function.bars if number in (2, 3, 4, 5) or number == 0)
            moved = function.bars[bar]
            function.store(pci.BAR0 + 4 * bar, 4, at)
            check(vm.readl(moved) == 0xffffffff, "the registers are still at their old place")
            function.bars[bar] = at


@case
def functions_that_do_not_decode(nacre, plugins):
    with with_disk(nacre, plugins) as vm:
        function, = pci.find(vm, 0x1af4, 0x1042)
        transport = PciTransport(vm, function)
        function.store(pci.COMMAND, 2, 0)
        check(vm.readl(transport.common) == 0xffffffff, "the registers answer although decoding is off")
        function.store(pci.COMMAND, 2, pci.MEMORY | pci.MASTER)
        check(transport.features() & VERSION_1, "the registers do not answer although decoding is on")


@case
def masked_messages_wait(nacre, plugins):
    with with_disk(nacre, plugins) as vm:
        function, = pci.find(vm, 0x1af4, 0x1042)
        transport = PciTransport(vm, function)
        msix = next(offset for kind, offset in function.capabilities() if kind == pci.MSIX)
        pending = function.load(msix + 8, 4)
        pending = function.bars[pending & 7] + (pending & ~7)
        ring, = transport.start(VERSION_1, (0,))
        masks = {"the vector": (lambda on: vm.writel(function.table + 16 + 12, on)),
                 "the function": (lambda on: function.store(msix + 2, 2, 0xc000 if on else 0x8000))}
        for what, mask in masks.items():
            mask(1)
            ring.offer(ring.chain(DISK.parts(vm)))
            transport.notify(0)
            ring.wait()
            check(not transport.took_interrupt(0), f"a message came although {what} is masked")
            check(vm.readq(pending) == 1 << 1, f"the pending bits are {vm.readq(pending):#x} while {what} is masked")
            vm.writeq(pending, 0)
            check(vm.readq(pending) == 1 << 1, "the driver has written to the pending bits")
            mask(0)
            vm.wait_for(lambda: transport.took_interrupt(0), f"the message that waited for {what}")
            check(vm.readq(pending) == 0, f"the pending bits are {vm.readq(pending):#x} after {what} was unmasked")
        check(not transport.took_interrupt(0), "a message came twice")


@case
def messages_into_memory(nacre, plugins):
    """A test without query_msix points a vector at RAM, as QEMU's do."""
    with with_disk(nacre, plugins) as vm:
        function, = pci.find(vm, 0x1af4, 0x1042)
        transport = PciTransport(vm, function)
        ring, = transport.start(VERSION_1, (0,))
        vm.writel(function.table + 16, RAM)
        vm.writel(RAM, 0)
        ring.offer(ring.chain(DISK.parts(vm)))
        transport.notify(0)
        ring.wait()
        vm.wait_for(lambda: vm.readl(RAM) == function.FIRST_DATA + 1, "the message in RAM")


@case
def pin_goes_up_and_down(nacre, plugins):
    with with_disk(nacre, plugins) as vm:
        function, = pci.find(vm, 0x1af4, 0x1042)
        transport = PciTransport(vm, function, pin=True)
        vm.request("irq_intercept_in ioapic")
        ring, = transport.start(VERSION_1, (0,))
        ring.offer(ring.chain(DISK.parts(vm)))
        transport.notify(0)
        ring.wait()
        vm.wait_for(lambda: vm.line_is_up(function.line), "the pin's line")
        check(vm.line_is_up(function.line), "asking for the line took it down")
        check(vm.readb(transport.isr) & 1, "the ISR register does not say why")
        check(not vm.line_is_up(function.line), "the line stays up after the ISR was read")
        check(vm.irqs == [("raise", function.line), ("lower", function.line)], f"the line's story is {vm.irqs}")
        function.store(pci.COMMAND, 2, pci.MEMORY | pci.MASTER | pci.NO_PIN)
        ring.offer(ring.chain(DISK.parts(vm)))
        transport.notify(0)
        ring.wait()
        vm.settle()
        check(not vm.line_is_up(function.line), "the pin is up although it is switched off")


@case
def management_beside_it(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "q35", "-smp", "2,maxcpus=4"]) as vm:
        management = Management(vm)
        cpus = management.execute("query-cpus")["return"]
        check([cpu["CPU"] for cpu in cpus] == [0, 1], f"query-cpus answers {cpus}")
        check(management.execute("query-status")["return"]["status"] == "running", "the machine does not run")
        vm.writeb(RAM, 9)
        check("return" in management.execute("stop") and "return" in management.execute("cont"), "stop and cont")
        check("return" in management.execute("device_add", id="cpu2", driver="generic-x86-cpu", **{"cpu-id": 2}),
              "a vCPU cannot come")
        check("error" in management.execute("device_add", id="cpu3", driver="generic-x86-cpu", **{"cpu-id": 2}),
              "a vCPU came twice")
        check(len(management.execute("query-cpus")["return"]) == 3, "the new vCPU is not listed")
        check("return" in management.execute("system_reset"), "system_reset")
        vm.check_alive()


@case
def disk_comes_below_a_port(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "q35", "-device",
                                        "pcie-root-port,id=pcie.1,bus=pcie.0,addr=0x3,port=0x1"],
                       prepare=DISK.prepare) as vm:
        vm.writel(pci.ECAM + (3 << 15) + 0x18, 0x00010100)  # bus 1 below it
        check(vm.readl(pci.ECAM + (1 << 20)) == 0xffffffff, "there is a function below an empty port")
        management = Management(vm)
        management.execute("blockdev-add", **{"node-name": "d", "driver": "raw",
                                              "file": {"driver": "file", "filename": str(vm.scratch / "disk")},
                                              "cache": {"direct": False}})
        answer = management.execute("device_add", id="d", driver="virtio-blk-pci", drive="d", bus="pcie.1", addr="0x0")
        check("return" in answer, f"device_add answers {answer}")
        vm.wait_for(lambda: vm.readl(pci.ECAM + (1 << 20)) == 0x10421af4, "the disk below the port")


@case
def vcpu_that_is_asked_for(nacre, plugins):
    """A second device_del says that it is pending until the guest has answered: by a refusal, or by giving it up."""
    with qtest.Machine(nacre, plugins, ["-machine", "q35", "-smp", "1,maxcpus=3"]) as vm:
        management = Management(vm)
        management.done("device_add", id="c", driver="generic-x86-cpu", **{"cpu-id": 2})
        for answer in ((CPU_RESULT, REFUSED), (CPU_STATUS, CPU_EJECT)):
            management.done("device_del", id="c")
            vm.writeb(CPU_SELECTION, 2)
            check(vm.readb(CPU_STATUS) & CPU_REMOVE, "the guest is not asked")
            for _ in range(2):
                said = management.refused("device_del", id="c")
                check("its removal is pending" in said and "system_reset" in said, said)
                vm.writeb(CPU_STATUS, CPU_REMOVE)  # it has taken notice
                check(not vm.readb(CPU_STATUS) & CPU_REMOVE, "the guest is asked again")
            vm.writeb(*answer)
        management.wait_for("DEVICE_DELETED")
        check([cpu["CPU"] for cpu in management.done("query-cpus")] == [0], "the vCPU is still there")


HOT_DISK = {"driver": "virtio-blk-pci", "drive": "n"}
HOT_CPU = {"driver": "generic-x86-cpu"}
# (command, its arguments, words of the refusal)
REFUSALS = [
    ("device_add", {**HOT_DISK, "bus": "pcie.0"}, "No hot plug controller found for bus pcie.0 when plug"),
    ("device_add", {**HOT_DISK, "bus": "pcie.0", "addr": "0x9"}, "No hot plug controller found for bus pcie.0"),
    ("device_add", {**HOT_DISK}, "No hot plug controller found for bus pcie.0 when plug"),
    ("device_add", {**HOT_DISK, "bus": "pcie.9", "addr": "0x0"}, "there is no PCI bus 'pcie.9'"),
    ("device_add", {**HOT_DISK, "bus": "d", "addr": "0x0"}, "there is no PCI bus 'd'"),
    ("device_add", {**HOT_DISK, "bus": "pcie.1", "addr": "0x0"}, "occupied by device 'd'"),
    ("device_add", {**HOT_DISK, "bus": "pcie.2", "addr": "0x1"}, "has slot 0x0 only"),
    ("device_add", {**HOT_DISK, "bus": "pcie.2", "addr": "0x0.0x1"}, "at addr 0x0 only, not 0x0.0x1"),
    ("device_add", {**HOT_DISK, "bus": "pcie.2", "addr": "0x0.0x8"}, "'0x0.0x8' is no PCI address"),
    ("device_add", {**HOT_DISK, "bus": "pcie.2", "addr": "zero"}, "'zero' is no PCI address"),
    ("device_add", {**HOT_DISK, "bus": "pcie.2", "addr": "0x20"}, "'0x20' is no PCI address"),
    ("device_add", {**HOT_DISK, "bus": "pcie.2", "addr": "0x0", "drive": "nobody"}, "nobody"),
    ("device_add", {**HOT_DISK, "bus": "pcie.2", "addr": "0x0", "drive": "d"}, "in use by device 'd'"),
    ("device_add", {"driver": "virtio-net-pci", "netdev": "nobody", "bus": "pcie.2", "addr": "0x0"}, "nobody"),
    ("device_add", {**HOT_DISK, "driver": "virtio-blk-mmio", "addr": "0x1"}, "takes its virtio devices on PCI"),
    ("device_add", {"driver": "virtio-blk-pcj", "bus": "pcie.2", "addr": "0x0"}, "virtio-blk-pcj"),
    # Of plugins whose devices do not come and go
    ("device_add", {"driver": "virtio-rng-pci", "rng": "r", "bus": "pcie.2", "addr": "0x0"},
     "driver 'virtio-rng-pci' cannot be added while the guest runs"),
    ("device_add", {"driver": "pcie-root-port", "port": "9"}, "driver 'pcie-root-port' cannot be added"),
    ("device_del", {"id": "rng"}, "cannot be removed while the guest runs: its driver is not hot-pluggable"),
    ("device_del", {"id": "pcie.2"}, "cannot be removed while the guest runs: its driver is not hot-pluggable"),
    ("device_del", {"id": "cold"}, "No hot plug controller found for bus pcie.0 when unplug request"),
    ("device_del", {"id": "nobody"}, "Device nobody not found"),
    ("blockdev-del", {"node-name": "d"}, "in use by device 'd'"),
    ("device_add", {**HOT_CPU}, "Argument cpu-id is required"),
    ("device_add", {**HOT_CPU, "cpu-id": 0}, "Cpu-id 0 already exist"),
    ("device_add", {**HOT_CPU, "cpu-id": 3}, "Max cpu-id is 2"),
    ("device_add", {**HOT_CPU, "cpu-id": 2}, "Cpu-id 2 is running, device id is cpu"),
    ("device_add", {**HOT_CPU, "cpu-id": 1, "id": "cpu"}, "Device id cpu already existed"),
]


def seen(vm, management):
    """What there is: by the guest's registers, the management and the host."""
    identities = [vm.readl(pci.ECAM + (bus << 20 | devfn << 12)) for bus in range(4) for devfn in range(0x100)]
    asked = [management.done(command) for command in ("query-block", "query-cpus", "query-hotpluggable-cpus",
                                                      "query-named-block-nodes")]
    devices = management.done("qom-list", path="/machine/peripheral")
    told = [event for event in management.events if event in ("DEVICE_DELETED", "CPU_RESIZE")]
    return {"functions": identities, "answers": asked, "devices": devices, "events": told}


@case
def refusals_change_nothing(nacre, plugins):
    """Each wrong request is refused in words and leaves the machine as it was, and the right one then works."""
    arguments = ["-machine", "q35", "-smp", "1,maxcpus=3", "-object", "rng-random,id=r,filename=/dev/urandom",
                 "-drive", "id=d,file=SCRATCH/disk,direct=off", "-drive", "id=n,file=SCRATCH/new,direct=off",
                 "-drive", "id=c,file=SCRATCH/cold,direct=off",
                 "-device", "pcie-root-port,id=pcie.1,bus=pcie.0,addr=0x3,port=1",
                 "-device", "pcie-root-port,id=pcie.2,bus=pcie.0,addr=0x4,port=2",
                 "-device", "virtio-blk-pci,drive=d,id=d,bus=pcie.1,addr=0x0",
                 "-device", "virtio-blk-pci,drive=c,id=cold,bus=pcie.0,addr=0x6",
                 "-device", "virtio-rng-pci,rng=r,id=rng,bus=pcie.0,addr=0x5"]

    def prepare(scratch):
        for name in ("disk", "new", "cold"):
            (scratch / name).write_bytes(bytes(1 << 20))
    with qtest.Machine(nacre, plugins, arguments, prepare=prepare) as vm:
        management = Management(vm)
        for port in (1, 2):
            vm.writel(pci.ECAM + ((2 + port) << 15) + 0x18, port << 16 | port << 8)
        management.done("device_add", id="cpu", driver="generic-x86-cpu", **{"cpu-id": 2})
        management.wait_for("CPU_RESIZE")
        before = seen(vm, management)
        check(before["functions"][0x100] == 0x10421af4 and before["functions"][0x200] == 0xffffffff, "the disks")
        for command, given, words in REFUSALS:
            named = {"id": "new", **given} if command == "device_add" else given
            said = management.refused(command, **named)
            check(words in said, f"{command} {given} is refused without '{words}': {said}")
            after = seen(vm, management)
            check(after == before, f"{command} {given} was refused and has changed "
                                   f"{[what for what in before if before[what] != after[what]]}")
        management.done("device_add", id="new", bus="pcie.2", addr="0x0", **HOT_DISK)
        check(vm.readl(pci.ECAM + (2 << 20)) == 0x10421af4, "the disk does not come")
        management.done("device_add", id="more", driver="generic-x86-cpu", **{"cpu-id": 1})


@case
def vcpus_stay_with_numa(nacre, plugins):
    """Refused in StratoVirt's words; nothing has changed."""
    arguments = ["-machine", "q35", "-smp", "2,maxcpus=4", "-object", "memory-backend-ram,size=64M,id=m0",
                 "-object", "memory-backend-ram,size=64M,id=m1", "-numa", "node,nodeid=0,cpus=0,memdev=m0",
                 "-numa", "node,nodeid=1,cpus=1,memdev=m1"]
    with qtest.Machine(nacre, plugins, arguments) as vm:
        management = Management(vm)
        before = seen(vm, management)
        said = management.refused("device_add", id="c", driver="generic-x86-cpu", **{"cpu-id": 2})
        check("Not support to hotplug/hotunplug cpu in numa architecture now." in said, said)
        after = seen(vm, management)
        check(after == before, f"the refusal has changed {[what for what in before if before[what] != after[what]]}")
