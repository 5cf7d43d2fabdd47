"""PCI and hot-plug of the machine q35."""

import devices
import pci
import qtest
from bench import case, check
from management import Management
from virtio import VERSION_1, PciTransport

RAM = 0x100000
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
        ring, = transport.start(VERSION_1, (0,))
        masks = {"the vector": (lambda on: vm.writel(function.table + 16 + 12, on)),
                 "the function": (lambda on: function.store(msix + 2, 2, 0xc000 if on else 0x8000))}
        for what, mask in masks.items():
            mask(1)
            ring.offer(ring.chain(DISK.parts(vm)))
            transport.notify(0)
            ring.wait()
            check(not transport.took_interrupt(0), f"a message came although {what} is masked")
            mask(0)
            vm.wait_for(lambda: transport.took_interrupt(0), f"the message that waited for {what}")
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
