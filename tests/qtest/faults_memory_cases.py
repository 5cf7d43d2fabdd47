"""A host that has no memory left for the machine. Not for sanitizers, whose shadow is beyond any limit. What is promised:
../faults.md."""

import itertools
import resource
import struct

import devices
import figures
from bench import case, check
from devices import BUFFERS
from faults_host_cases import MICROVM, Q35, hot_plugs, state
from known_faults import machine, must_idle, status
from known_faults_host_cases import Monitor
from limits import limit
from virtio import NEEDS_RESET, VERSION_1, Mmio

DISK = devices.ALL["blk"]
QUEUES, ENTRIES = 8, 1024


def memory_limit(vm, kib):
    """The machine may map so much more, and what its allocator has kept."""
    return limit(vm.process.pid, resource.RLIMIT_AS, (status(vm, "VmSize") + kib) * 1024)


@case
def hot_plug_without_memory(nacre, plugins):
    """With nothing, 4 KiB, 8 KiB, ... to be had: a hot-plug is refused in one sentence and leaves nothing; with memory
    it works."""
    refusals = {}
    for where, what in itertools.product((MICROVM, Q35), ("disk (threads)", "disk (io_uring)", "network", "console")):
        with machine(nacre, plugins, *where, prepare=DISK.prepare) as vm:
            monitor = Monitor(vm)
            plug = hot_plugs(vm.scratch, where)[what]
            before = state(vm, monitor)
            for kib in range(0, 4096, 4):
                with memory_limit(vm, kib):
                    says = plug.make(monitor)
                    check(monitor.done("query-status")["running"], f"{what}, {kib} KiB: the machine does not run")
                if says is None:
                    break
                refusals[what] = refusals.get(what, 0) + 1
                check(says.endswith(".") and ("memory" in says or "map" in says), f"{what}, {kib} KiB: {says}")
                check(state(vm, monitor)[2:] == before[2:], f"{what}, {kib} KiB, leaves {state(vm, monitor)}")
            check(says is None, f"{what}: with {kib} KiB to be had: {says}")
            plug.remove(monitor)
            vm.settle()
            settled = state(vm, monitor)
            check(plug.make(monitor) is None, f"{what}: with memory it is refused")
            plug.remove(monitor)
            vm.settle()
            check(state(vm, monitor) == settled, f"{what} leaves {state(vm, monitor)}, not {settled}")
    check(sum(refusals.values()) > 10, f"only {refusals} refusals")
    figures.tell("faults", "hot_plug_without_memory", sum(refusals.values()), f"refusals: {refusals}")


@case
def machine_without_memory(nacre, plugins):
    """Chardevs are made until the host has no memory for one more. What there is goes on: commands of all sorts are
    answered, a disk reads, devices go; and when there is memory, a chardev comes again."""
    with machine(nacre, plugins, *MICROVM, prepare=DISK.prepare) as vm:
        monitor = Monitor(vm)
        disk = hot_plugs(vm.scratch)["disk (threads)"]
        check(disk.make(monitor) is None, "with memory a disk is refused")
        transport = Mmio(vm, 2)
        rings = transport.start(VERSION_1, (0,))

        def add(name):
            path = str(vm.scratch / name)
            return monitor.execute("chardev-add", id=name, backend={"type": "socket", "data": {
                "addr": {"type": "unix", "data": {"path": path}}, "server": True}})

        made = []
        with memory_limit(vm, 0):
            while "return" in (answer := add(name := f"c{len(made):060}")):
                made.append(name)
                check(len(made) < 1000, "a thousand chardevs need no memory")
            check(answer["error"]["desc"].startswith("'chardev-add' is refused: the host has no memory left"), answer)
            for _ in range(20):
                for command in ("query-status", "query-commands", "query-qmp-schema", "query-plugins", "stop", "cont"):
                    monitor.done(command)
                check("error" in monitor.execute("query-stauts"), "a command that there is not is carried out")
                # Their list may be too long for what is left.
                answer = monitor.execute("query-chardev")
                check("return" in answer or "no memory" in answer["error"]["desc"], answer)
            rings[0].offer(rings[0].chain(DISK.parts(vm)))
            transport.notify(0)
            DISK.check(vm, rings[0].wait()[1])
            disk.remove(monitor)
            for name in made:
                monitor.done("chardev-remove", id=name)
        check("return" in add("again"), "with memory a chardev is refused")
        check(monitor.done("query-status")["running"], "the machine does not run")
    figures.tell("faults", "machine_without_memory", 1, f"refusal, after {len(made)} chardevs")


@case
def drivers_without_memory(nacre, plugins):
    """A guest sets up more and larger queues than the host has memory for: the device asks for a reset; the machine goes
    on, and the same driver works when there is memory."""
    refusals = 0
    with machine(nacre, plugins, "-machine", "microvm", "-drive", "id=d,file=SCRATCH/disk,direct=off", "-device",
                 f"virtio-blk-device,drive=d,id=d,num-queues={QUEUES},queue-size={ENTRIES}", prepare=DISK.prepare) as vm:
        monitor = Monitor(vm)
        transport = Mmio(vm, 2, next(slot for slot in range(Mmio.SLOTS) if
                                     vm.readl(Mmio.BASE + slot * Mmio.STRIDE + 0x100) == len(devices.CONTENT) // 512))
        for kib in (*range(0, 128 << 10, 8 << 10), None):
            with memory_limit(vm, 1 << 30 if kib is None else kib):
                rings = transport.start(VERSION_1, range(QUEUES), size=ENTRIES)
                if not transport.works():
                    check(transport.status() & NEEDS_RESET, "it does not work, and does not ask for a reset")
                    refusals += 1
                    check(kib is not None, "with memory the driver does not work")
                    continue
                ring = rings[0]
                vm.write(BUFFERS, struct.pack("<IIQ", 0, 0, 1))
                ring.offer(ring.chain(DISK.parts(vm)))
                transport.notify(0)
                DISK.check(vm, ring.wait()[1])
        must_idle(vm, "a driver that had no memory")
        check(monitor.done("query-status")["running"], "the machine does not run")
    check(refusals > 3, f"only {refusals} drivers were without memory")
    figures.tell("faults", "drivers_without_memory", refusals, "refusals")
