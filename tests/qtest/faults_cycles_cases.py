"""Ten thousand devices that come and go: nothing stays of them. What is promised: ../faults.md."""

import pathlib
import re
import time

import devices
import figures
from bench import case, check
from faults_host_cases import MICROVM, Q35, hot_plugs
from known_faults import machine, open_files, patience, status
from known_faults_host_cases import Monitor, disk_below_the_port
from virtio import VERSION_1, Mmio

DISK = devices.ALL["blk"]
CYCLES = 10000  # in all; a fifth of them with a sanitizer, which looks for leaks at the end


def own_kib(vm):
    """What the process has in memory that is of no file: pages of a plugin's file are its alone, or not, as other machines
    come and go beside this one."""
    text = pathlib.Path(f"/proc/{vm.process.pid}/smaps_rollup").read_text()
    return int(re.search(r"^Anonymous: +(\d+) kB$", text, re.MULTILINE)[1])


def mapped_files(vm):
    """How many pieces of files, and of memory that is shared like one, it has mapped."""
    return sum(line.count("/") > 0 for line in pathlib.Path(f"/proc/{vm.process.pid}/maps").read_text().splitlines())


def cycle(vm, what, total, turn):
    """turn(number), so many times. After the first tenth, files, threads and files mapped stay as many, and memory does not
    grow all the time: in half of what is left at least it stays about as it is, since the allocator takes a MiB at once now
    and then."""
    total //= 1 if patience(vm) == 1 else 5
    marks = (total // 10, total // 10 + total * 9 // 20, total)
    begin, held, own = time.monotonic(), [], []
    for number in range(total):
        turn(number)
        if number % 100 == 0:  # the interrupts, which would wait for us in the machine
            vm.settle()
            vm.irqs.clear()
        if number + 1 in marks:
            vm.settle()
            held.append((open_files(vm), status(vm, "Threads"), mapped_files(vm)))
            own.append(own_kib(vm))
    grown = min(own[1] - own[0], own[2] - own[1])
    check(held[2] == held[0], f"{what}: files, threads and files mapped were {held[0]} and are {held[2]}")
    # A list that grows by one pointer a cycle would show. A sanitizer's allocator keeps more now and then.
    check(grown <= 32 + 1024 * (patience(vm) - 1), f"{what}: its memory grows: {own} KiB in {total} cycles")
    figures.tell("load", what, total, f"cycles, {total / (time.monotonic() - begin):.0f} a second, memory of its own {own} KiB "
                 "after a tenth, half and all of them")


@case
def disks_networks_and_chardevs(nacre, plugins):
    vm = machine(nacre, plugins, *MICROVM, prepare=DISK.prepare)
    try:
        monitor, plugs = Monitor(vm), hot_plugs(vm.scratch)

        def disk_in_use(number):
            plug = plugs["disk (io_uring)"]
            check(plug.make(monitor) is None, "the disk cannot be plugged")
            if number % 25 == 24:
                at = next(slot for slot in range(Mmio.SLOTS) if vm.readl(Mmio.BASE + slot * Mmio.STRIDE + 8) == 2 and
                          vm.readl(Mmio.BASE + slot * Mmio.STRIDE + 0x100))
                transport = Mmio(vm, 2, at)
                ring, = transport.start(VERSION_1, (0,))
                ring.offer(ring.chain(DISK.parts(vm)))
                transport.notify(0)
                DISK.check(vm, ring.wait()[1])
            plug.remove(monitor)

        cycle(vm, "disks (io_uring), used now and then", 2900, disk_in_use)
        cycle(vm, "disks (threads)", 2700, lambda _: plugs["disk (threads)"].come_and_go(monitor))
        cycle(vm, "consoles", 1500, lambda _: plugs["console"].come_and_go(monitor))
        cycle(vm, "networks of passt", 200, lambda _: plugs["network"].come_and_go(monitor))
    finally:
        vm.close()


@case
def devices_below_a_port(nacre, plugins):
    vm = machine(nacre, plugins, *Q35, prepare=DISK.prepare)
    try:
        cycle(vm, "disks below a port", 2000, disk_below_the_port(vm))
        monitor, plugs = Monitor(vm), hot_plugs(vm.scratch, Q35)
        cycle(vm, "consoles of a PCI function", 500, lambda _: plugs["console"].come_and_go(monitor))
        cycle(vm, "networks below a port", 200, lambda _: plugs["network"].come_and_go(monitor))
    finally:
        vm.close()
