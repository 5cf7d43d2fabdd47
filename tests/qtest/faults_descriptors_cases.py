"""A host without descriptors. What is promised: ../faults.md. Not with sanitizers: theirs for pointers asks the kernel by a
pipe whether there is memory, and ends the machine where it gets none."""

import resource
import socket

import devices
import figures
import pci
import qtest
from bench import case, check
from faults_host_cases import MICROVM, Q35, hot_plugs, state
from known_faults import machine, must_idle
from known_faults_host_cases import Monitor
from limits import descriptors, limit
from virtio import NEEDS_RESET, VERSION_1, Mmio, PciTransport

DISK = devices.ALL["blk"]


@case
def out_of_descriptors(nacre, plugins):
    """With none, one, two, ... descriptors to be had: a hot-plug is refused in one sentence that names the reason and
    leaves nothing, until there are enough."""
    refusals = 0
    for where in (MICROVM, Q35):
        with machine(nacre, plugins, *where, prepare=DISK.prepare) as vm:
            monitor = Monitor(vm)
            for what, plug in hot_plugs(vm.scratch, where).items():
                check(plug.make(monitor) is None, f"{what} cannot be plugged")
                plug.remove(monitor)
                vm.settle()
                before = state(vm, monitor)
                for spare in range(100):
                    with limit(vm.process.pid, resource.RLIMIT_NOFILE, descriptors(vm.process.pid, spare)):
                        says = plug.make(monitor)
                    if says is None:
                        break
                    refusals += 1
                    check("oo many open files" in says and says.endswith("."), f"{what}, {spare} to be had: {says}")
                    vm.settle()
                    check(state(vm, monitor) == before, f"{what}, {spare} to be had, leaves {state(vm, monitor)}, not {before}")
                check(says is None and spare > 0, f"{what}: with {spare} descriptors to be had: {says}")
                plug.remove(monitor)
                vm.settle()
                check(state(vm, monitor) == before, f"{what} was there, and leaves {state(vm, monitor)}, not {before}")
    figures.tell("faults", "out_of_descriptors", refusals, "refusals")


@case
def drivers_without_descriptors(nacre, plugins):
    """A guest's driver comes while there are none, one, two, ... descriptors: its disk works, if by fewer means, or asks
    for a reset; the same driver works when there are descriptors."""
    without = {}
    for kind in (Mmio, PciTransport):
        for spare in range(12):
            with machine(nacre, plugins, "-machine", kind.MACHINE, "-drive", "id=d,file=SCRATCH/disk,direct=off,aio=io_uring",
                         "-device", f"virtio-blk{kind.SUFFIX},drive=d,id=d", prepare=DISK.prepare) as vm:
                monitor = Monitor(vm)
                monitor.done("query-status")
                if kind is Mmio:
                    transport = Mmio(vm, 2, next(slot for slot in range(Mmio.SLOTS) if vm.readl(
                        Mmio.BASE + slot * Mmio.STRIDE + 0x100) == len(devices.CONTENT) // 512))
                else:
                    transport = PciTransport(vm, pci.find(vm, 0x1af4, 0x1042)[0])

                def use():
                    ring, = transport.start(VERSION_1, (0,))
                    if not transport.works():
                        check(transport.status() & NEEDS_RESET, f"{kind.MACHINE}, {spare}: no reset is asked for")
                        return False
                    ring.offer(ring.chain(DISK.parts(vm)))
                    transport.notify(0)
                    DISK.check(vm, ring.wait()[1])
                    return True

                with limit(vm.process.pid, resource.RLIMIT_NOFILE, descriptors(vm.process.pid, spare)):
                    worked = use()
                    must_idle(vm, f"{kind.MACHINE}, a driver with {spare} descriptors to be had")
                    check(monitor.done("query-status")["running"], "the machine does not run")
                check(use(), f"{kind.MACHINE}: with descriptors the disk does not work")
                without[kind.MACHINE] = without.get(kind.MACHINE, 0) + (not worked)
    check(all(without.values()), f"drivers were refused: {without}")
    figures.tell("faults", "drivers_without_descriptors", sum(without.values()), f"of 24 starts refused: {without}")


@case
def clients_without_descriptors(nacre, plugins):
    """Who connects to a machine that has no descriptors left is disconnected, others are served on, and nothing spins."""
    turned_away = 0
    with machine(nacre, plugins, "-machine", "microvm", "-chardev", "socket,id=c,path=SCRATCH/line,server,nowait",
                 "-serial", "chardev:c") as vm:
        monitor = Monitor(vm)
        monitor.done("query-status")
        with limit(vm.process.pid, resource.RLIMIT_NOFILE, descriptors(vm.process.pid, 0)):
            for _ in range(50):
                for path in (vm.qmp, vm.scratch / "line"):
                    with socket.socket(socket.AF_UNIX) as client:
                        client.settimeout(qtest.SECONDS)
                        client.connect(str(path))
                        check(client.recv(100) == b"", f"{path.name}: a client was served without a descriptor")
                        turned_away += 1
            monitor.done("query-status")
            must_idle(vm, "no descriptors for clients")
        check(vm.log().count("turned away") <= 2, f"the log is full of it: {vm.log()[:2000]}")
        Monitor(vm).done("query-status")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(vm.scratch / "line"))
            vm.outb(0x3f8, 0x41)
            client.settimeout(qtest.SECONDS)
            check(client.recv(1) == b"A", "the console has no client when there are descriptors again")
    figures.tell("faults", "clients_without_descriptors", turned_away, "turned away")
