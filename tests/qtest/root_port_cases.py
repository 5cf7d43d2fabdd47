"""Registers of a PCI Express root port and the hot-plug of what is below it (PCIe 5.0 §6.7, §7.5.3; PCI-to-PCI Bridge
1.2 §3.2.5), with its interrupts, of the machine q35."""

import devices
import pci
import qtest
from bench import case, check
from management import Management
from virtio import PciTransport

SLOT = 3
DISK = devices.ALL["blk"]
MESSAGES = 0xfee00000
WINDOW = pci.WINDOW + 0x4000000  # of memory, for what is below the port
# Slot Control and Slot Status
BUTTON, PRESENCE, COMPLETED, HOTPLUG, LINK = 1, 8, 16, 32, 0x1000
POWER_ON, POWER_BLINKS, POWER_OFF = 0x100, 0x200, 0x300  # the indicator
SWITCHED_OFF = 0x400
PRESENT, LINK_CHANGED = 0x40, 0x100


class Port:
    def __init__(self, vm, pin=False):
        self.vm = vm
        self.function = pci.Function(vm, 0, SLOT)
        self.function.map_bars()
        self.base = self.function.base
        self.express = next(offset for kind, offset in self.function.capabilities() if kind == 0x10)
        if not pin:
            self.function.enable_msix(MESSAGES)
        vm.request("irq_intercept_in ioapic")
        self.store(0x18, 4, 0x00010100)  # bus 1 is below it
        self.open_window(WINDOW)

    def load(self, offset, width):
        return self.function.load(offset, width)

    def store(self, offset, width, value):
        self.function.store(offset, width, value)

    def open_window(self, at):
        self.store(0x20, 4, (at >> 16 | at & 0xffff0000) + 0x00f00000)

    def control(self, value=None):
        if value is not None:
            self.store(self.express + 0x18, 2, value)
        return self.load(self.express + 0x18, 2)

    def status(self):
        return self.load(self.express + 0x1a, 2)

    def clear(self, bits=0x11f):
        self.store(self.express + 0x1a, 2, bits)

    def link_is_up(self):
        return bool(self.load(self.express + 0x12, 2) & 0x2000)

    def took_message(self):
        self.vm.settle()
        return self.vm.took_message(MESSAGES, self.function.FIRST_DATA)

    def line_is_up(self):
        self.vm.settle()
        return self.vm.line_is_up(self.function.line)


def machine(nacre, plugins, *more, properties=""):
    return qtest.Machine(nacre, plugins, ["-machine", "q35", "-device",
                                          f"pcie-root-port,id=pcie.1,bus=pcie.0,addr={SLOT},port=1{properties}",
                                          "-object", "rng-random,id=r,filename=/dev/urandom",
                                          "-drive", "id=d,file=SCRATCH/disk,direct=off", *more], prepare=DISK.prepare)


def plug(management):
    management.done("device_add", id="d", driver="virtio-blk-pci", drive="d", bus="pcie.1", addr="0x0")


def below(vm, bus=1):
    """Whether a function shows below the port."""
    return vm.readl(pci.ECAM + (bus << 20)) == 0x10421af4


COLD = ["-device", "virtio-blk-pci,drive=d,id=d,bus=pcie.1,addr=0"]


@case
def registers_as_at_power_on(nacre, plugins):
    with machine(nacre, plugins) as vm:
        function = pci.Function(vm, 0, SLOT)
        express = next(offset for kind, offset in function.capabilities() if kind == 0x10)
        check(function.load(pci.HEADER, 1) & 0x7f == 1, "it is no bridge")
        check(function.load(0x18, 4) & 0xffffff == 0, "it has bus numbers")
        check(function.load(express + 2, 2) & 0x1f0 == 0x140, "it is no root port with a slot")
        capabilities = function.load(express + 0x14, 4)
        check(capabilities & 0x7f == 0x7b and capabilities >> 19 == SLOT,
              f"Slot Capabilities are {capabilities:#x}")
        control = function.load(express + 0x18, 2)
        check(control & (SWITCHED_OFF | POWER_OFF) == SWITCHED_OFF | POWER_OFF, f"an empty slot is on: {control:#x}")
        check(function.load(express + 0x1a, 2) == 0, "an empty slot has a status")
    with machine(nacre, plugins, *COLD) as vm:
        port = Port(vm)
        check(port.control() & (SWITCHED_OFF | POWER_OFF) == POWER_ON, "the slot of a device of the command line is off")
        check(port.status() & (PRESENT | BUTTON | PRESENCE) == PRESENT, f"its status is {port.status():#x}")
        check(port.link_is_up() and below(vm), "the device of the command line is not there")


@case
def write_one_clears_each_status_bit_alone(nacre, plugins):
    with machine(nacre, plugins) as vm:
        port = Port(vm)
        plug(Management(vm))
        came = PRESENT | BUTTON | PRESENCE | LINK_CHANGED
        check(port.status() == came, f"the status after a device came is {port.status():#x}")
        port.clear(0)
        check(port.status() == came, "a write of 0 has cleared something")
        port.clear(LINK_CHANGED)
        check(port.status() == PRESENT | BUTTON | PRESENCE, "not the link's change alone is cleared")
        port.clear(PRESENCE)
        check(port.status() == PRESENT | BUTTON, "not the presence change alone is cleared")
        port.clear(PRESENT | 0xfee0)
        check(port.status() == PRESENT | BUTTON, "what is read-only was written")
        port.clear(BUTTON)
        check(port.status() == PRESENT, "the button is not cleared")
        # One write over both registers: a command that completes, and bits that go.
        port.store(port.express + 0x18, 4, COMPLETED << 16 | HOTPLUG)
        check(port.status() & COMPLETED, "a command did not complete")
        port.clear(COMPLETED)
        check(port.status() == PRESENT, "the completion is not cleared")
        port.control(0xffff)
        check(port.control() == 0x17ff, f"reserved bits of Slot Control are writable: {port.control():#x}")


@case
def message_for_each_event_that_is_enabled(nacre, plugins):
    with machine(nacre, plugins) as vm:
        port, management = Port(vm), Management(vm)
        plug(management)
        check(not port.took_message(), "a message came although nothing is enabled")
        port.control(BUTTON)
        check(not port.took_message(), "a message came although hot-plug interrupts are off")
        port.control(BUTTON | HOTPLUG)
        check(port.took_message(), "no message for the event that was there when its interrupt was enabled")
        port.control(BUTTON | HOTPLUG)
        check(not port.took_message(), "a second message for one event")
        port.clear(PRESENCE)
        check(not port.took_message(), "a message came for what is not enabled")
        port.control(BUTTON | PRESENCE | HOTPLUG)
        check(not port.took_message(), "a message came while another event is still there")
        port.clear()
        check(not port.took_message(), "a message came for an event that went")
        port.control(COMPLETED | HOTPLUG)
        check(port.took_message(), "no message for a command that has completed")
        port.clear()
        port.control(BUTTON | COMPLETED | HOTPLUG)
        check(port.took_message(), "no message for the next command")
        port.control(BUTTON | HOTPLUG)
        port.clear()
        management.done("device_del", id="d")
        check(port.took_message(), "no message for the button")
        check(port.status() == PRESENT | BUTTON and port.link_is_up(), f"the status is {port.status():#x}")


@case
def line_is_up_for_as_long_as_an_event_is(nacre, plugins):
    with machine(nacre, plugins) as vm:
        port = Port(vm, pin=True)
        port.control(PRESENCE | BUTTON | HOTPLUG)
        port.clear()
        check(not port.line_is_up(), "the line is up without an event")
        plug(Management(vm))
        check(port.line_is_up(), "the line is down although a device has come")
        port.clear(BUTTON)
        check(port.line_is_up(), "the line went down although one of two events is still there")
        check(port.load(pci.COMMAND + 2, 2) & 8, "Interrupt Status does not show the event")
        port.store(pci.COMMAND, 2, pci.MEMORY | pci.MASTER | pci.NO_PIN)
        check(not port.line_is_up(), "the line is up although the pin is off")
        port.store(pci.COMMAND, 2, pci.MEMORY | pci.MASTER)
        check(port.line_is_up(), "the line is down although the pin is on again")
        port.clear(PRESENCE)
        check(not port.line_is_up(), "the line is up although all events are cleared")
        check(vm.irqs == [(what, port.function.line) for what in ("raise", "lower", "raise", "lower")],
              f"the line's story is {vm.irqs}")


@case
def masked_event_is_told_when_it_is_unmasked(nacre, plugins):
    with machine(nacre, plugins) as vm:
        port = Port(vm)
        port.control(BUTTON | HOTPLUG)
        port.clear()
        vm.writel(port.function.table + 12, 1)
        plug(Management(vm))
        check(not port.took_message(), "a message came although its vector is masked")
        vm.writel(port.function.table + 12, 0)
        check(port.took_message(), "the message did not come when its vector was unmasked")


@case
def device_comes_and_goes(nacre, plugins):
    """As a guest's driver does it: power on, blinks, power off; and who asks meanwhile is refused."""
    with machine(nacre, plugins) as vm:
        port, management = Port(vm), Management(vm)
        for turn in range(3):
            plug(management)
            check(below(vm) and port.status() & PRESENT and port.link_is_up(), f"the device is not there, turn {turn}")
            port.clear()
            port.control(POWER_BLINKS)
            check("Guest is still on the fly" in management.refused("device_del", id="d"), "asked while it blinks")
            port.control(POWER_ON)
            management.done("device_del", id="d")
            check(below(vm) and port.status() & BUTTON, "the device went before the guest has let go")
            for _ in range(2):  # the second time, the guest has taken notice and not answered
                check("its removal is pending" in management.refused("device_del", id="d"), "asked twice")
                port.clear(BUTTON)
            check(port.status() & ~COMPLETED == PRESENT and port.link_is_up(), f"the status is {port.status():#x}")
            port.clear()
            port.control(POWER_BLINKS)
            check(below(vm), "the device went while the guest was busy")
            check("Guest is still on the fly" in management.refused("device_del", id="d"), "asked while it blinks")
            port.control(SWITCHED_OFF | POWER_BLINKS)
            check(below(vm), "the device went although the indicator still blinks")
            port.control(SWITCHED_OFF | POWER_OFF)
            check(port.status() == PRESENCE | LINK_CHANGED | COMPLETED,
                  f"the status of the slot that was switched off is {port.status():#x}")
            management.wait_for("DEVICE_DELETED")
            check(not below(vm) and not port.link_is_up(), "the device that is gone is still seen")
            port.clear()
            port.control(SWITCHED_OFF | POWER_BLINKS)
            check("Guest is still on the fly" in management.refused("device_add", id="d", driver="virtio-blk-pci", drive="d",
                                                                    bus="pcie.1", addr="0x0"), "plugged in while it blinks")
            port.control(SWITCHED_OFF | POWER_OFF)
            port.clear()
        check(vm.readl(pci.ECAM + (1 << 20)) == 0xffffffff, "something is below the port")


@case
def guest_that_thinks_again_keeps_its_device(nacre, plugins):
    with machine(nacre, plugins) as vm:
        port, management = Port(vm), Management(vm)
        plug(management)
        port.control(POWER_ON)
        port.clear()
        management.done("device_del", id="d")
        port.clear(BUTTON)
        port.control(POWER_BLINKS)
        port.control(POWER_ON)
        vm.settle()
        port.clear(COMPLETED)
        check(below(vm) and port.status() == PRESENT and port.link_is_up(),
              f"the guest kept the device, and the status is {port.status():#x}")
        transport = PciTransport(vm, pci.Function(vm, 1, 0))
        check(transport.features(), "the device that was kept does not work")
        management.done("device_del", id="d")
        port.control(POWER_ON)  # it is kept without blinking too
        management.done("device_del", id="d")
        port.control(SWITCHED_OFF | POWER_OFF)
        management.wait_for("DEVICE_DELETED")


@case
def removal_by_force(nacre, plugins):
    """Of a guest that has not been asked, of one that was and does nothing, of one that is busy with the slot: the
    device is gone at once, and the guest is told by the change of presence and of the link."""
    with machine(nacre, plugins) as vm:
        port, management = Port(vm), Management(vm)
        for asked, control in ((False, POWER_ON), (True, POWER_ON), (True, POWER_BLINKS)):
            plug(management)
            port.control(POWER_ON | LINK | HOTPLUG)
            port.clear()
            port.took_message()
            if asked:
                management.done("device_del", id="d")
            port.control(control | LINK | HOTPLUG)
            port.clear()
            management.done("device_del", id="d", force=True)
            management.wait_for("DEVICE_DELETED")
            check(not below(vm) and not port.link_is_up(), "the device that was taken away is still seen")
            check(port.status() == PRESENCE | LINK_CHANGED, f"the status after a surprise is {port.status():#x}")
            check(port.took_message(), "the guest was not told")
            check("not found" in management.refused("device_del", id="d", force=True), "it can be removed twice")
            port.clear()
            port.control(SWITCHED_OFF | POWER_OFF)
            port.clear()
            check(port.status() == 0, f"the status of the empty slot is {port.status():#x}")
        check(management.done("query-block") is not None, "query-block")


@case
def remains_of_what_was_taken_by_force(nacre, plugins):
    """Its registers read as zeroes, so that a driver which resets it comes to an end, until the slot is off; then another
    disk comes to the same place. The machine may end with them."""
    with machine(nacre, plugins) as vm:
        port, management = Port(vm), Management(vm)
        for last in (False, True):
            plug(management)
            port.control(POWER_ON)
            function = pci.Function(vm, 1, 0)
            function.store(pci.BAR0 + 8, 4, WINDOW + 0x10000)
            function.store(pci.BAR0 + 12, 4, 0)
            function.store(pci.COMMAND, 2, pci.MEMORY | pci.MASTER)
            status = WINDOW + 0x10000 + 0x14  # of the common configuration
            vm.writeb(status, 3)
            check(vm.readb(status) == 3, "the disk's registers do not answer")
            management.done("device_del", id="d", force=True)
            management.wait_for("DEVICE_DELETED")
            check(not below(vm), "the function is still seen")
            vm.writeb(status, 1)
            check(vm.readb(status) == 0 and vm.readl(status) == 0, "a driver waits for ever for the end of its reset")
            if not last:
                port.control(SWITCHED_OFF | POWER_OFF)
                check(vm.readb(status) == 0xff, "something is left after the slot was switched off")


@case
def force_where_it_does_not_apply(nacre, plugins):
    with machine(nacre, plugins, "-smp", "1,maxcpus=2", "-device", "virtio-blk-pci,drive=d,id=d,addr=5",
                 "-device", "virtio-rng-pci,rng=r,id=rng,addr=6") as vm:
        management = Management(vm)
        management.done("device_add", id="cpu", driver="generic-x86-cpu", **{"cpu-id": 1})
        for device, words in (("d", "No hot plug controller found for bus pcie.0"), ("rng", "not hot-pluggable"),
                              ("cpu", "by force"), ("nobody", "not found")):
            said = management.refused("device_del", id=device, force=True)
            check(words in said, f"{device}: {said}")
        said = management.refused("device_del", id="d", force="yes")
        check("'force' of 'device_del' must be true or false" in said, said)
        check(vm.readl(pci.ECAM + (5 << 15)) == 0x10421af4, "the disk is gone")


@case
def slot_that_is_off_lets_go_at_once(nacre, plugins):
    with machine(nacre, plugins) as vm:
        port, management = Port(vm), Management(vm)
        plug(management)  # into a slot that the guest has not switched on
        management.done("device_del", id="d")
        management.wait_for("DEVICE_DELETED")
        check(not below(vm) and not port.status() & PRESENT, "the device of a slot that is off stays")


@case
def removal_in_haste(nacre, plugins):
    """fast-unplug: the button comes with a change of presence, and the guest waits no five seconds."""
    with machine(nacre, plugins, properties=",fast-unplug=on") as vm:
        port, management = Port(vm), Management(vm)
        plug(management)
        port.control(POWER_ON | PRESENCE | HOTPLUG)
        port.clear()
        port.took_message()
        management.done("device_del", id="d")
        check(port.status() & (BUTTON | PRESENCE | PRESENT) == BUTTON | PRESENCE | PRESENT, f"{port.status():#x}")
        check(port.took_message(), "no message for the change of presence")


@case
def bus_numbers_lead_to_what_is_below(nacre, plugins):
    with machine(nacre, plugins, *COLD) as vm:
        port = Port(vm)
        port.store(0x18, 4, 0x00050500)
        check(below(vm, 5) and not below(vm, 1), "the function did not move with its bus number")
        port.store(0x18, 4, 0x00090500)
        check(below(vm, 5) and not below(vm, 9), "the function is seen on a bus further down")
        port.store(0x19, 1, 0)
        check(not below(vm, 5) and vm.readl(pci.ECAM) == 0x29c08086, "a port without a bus has one")
        port.store(0x18, 4, 0x00010100)
        check(below(vm), "the function did not come back")
        check(pci.port_read(vm, 1, 0, 0) == 0x10421af4, "not by ports")
        for slot in range(1, 32):
            check(vm.readl(pci.ECAM + (1 << 20) + (slot << 15)) == 0xffffffff, f"there is a slot {slot} below a port")


@case
def windows_decide_what_is_reached_below(nacre, plugins):
    with machine(nacre, plugins, *COLD) as vm:
        port = Port(vm)
        function = pci.Function(vm, 1, 0)
        function.store(pci.BAR0 + 8, 4, WINDOW + 0x10000)
        if function.load(pci.BAR0 + 8, 4) & 6 == 4:
            function.store(pci.BAR0 + 12, 4, 0)
        function.store(pci.COMMAND, 2, pci.MEMORY | pci.MASTER)

        def answers():
            return vm.readl(WINDOW + 0x10000) != 0xffffffff
        check(answers(), "the registers below an open window do not answer")
        port.store(0x20, 4, 0x0000fff0)  # the limit below the base
        check(not answers(), "the registers below a closed window answer")
        port.open_window(WINDOW + 0x1000000)
        check(not answers(), "the registers below another window answer")
        port.open_window(WINDOW)
        check(answers(), "the registers do not answer when the window is open again")
        port.store(pci.COMMAND, 2, pci.MASTER)
        check(not answers(), "the registers answer below a port that forwards no memory")
        port.store(pci.COMMAND, 2, pci.MEMORY | pci.MASTER)
        check(answers(), "the registers do not answer below a port that forwards memory again")
        for offset, mask in ((0x1c, 0xf0f0), (0x20, 0xfff0fff0), (0x24, 0xfff0fff0), (0x28, 0xffffffff),
                             (0x2c, 0xffffffff)):
            width = 2 if offset == 0x1c else 4
            before = port.load(offset, width)
            port.store(offset, width, (1 << 8 * width) - 1)
            check(port.load(offset, width) & mask == mask, f"register {offset:#x} does not take its bits")
            port.store(offset, width, 0)
            check(port.load(offset, width) & mask == 0, f"register {offset:#x} keeps its bits")
            port.store(offset, width, before)


@case
def reset_of_the_bus_below(nacre, plugins):
    with machine(nacre, plugins, *COLD) as vm:
        port = Port(vm)
        function = pci.Function(vm, 1, 0)
        function.store(pci.COMMAND, 2, pci.MEMORY | pci.MASTER)
        port.store(0x3e, 2, 0x40)
        port.store(0x3e, 2, 0)
        check(function.load(pci.COMMAND, 2) == 0, "the reset of the secondary bus leaves the function as it was")
        check(port.load(0x18, 4) & 0xffffff == 0x010100, "the reset of the secondary bus has reset the port")
        check(below(vm) and port.status() & PRESENT, "the reset has taken the device away")


@case
def reset_of_the_machine(nacre, plugins):
    """What was asked for is done by it; what was not stays, with its power on."""
    with machine(nacre, plugins, *COLD) as vm:
        port, management = Port(vm), Management(vm)
        port.control(POWER_ON | BUTTON | PRESENCE | HOTPLUG)
        management.done("system_reset")
        management.wait_for("RESET")
        check(port.load(0x18, 4) & 0xffffff == 0, "bus numbers outlive a reset")
        check(port.control() & 0x1f == 0 and port.control() & (SWITCHED_OFF | POWER_OFF) == POWER_ON,
              f"Slot Control after a reset is {port.control():#x}")
        port = Port(vm)
        check(below(vm) and port.status() == PRESENT, f"the device after a reset: {port.status():#x}")
        management.done("device_del", id="d")
        management.done("system_reset")
        management.wait_for("DEVICE_DELETED")
        port = Port(vm)
        check(not below(vm) and port.status() == 0, f"the slot after a reset: {port.status():#x}")
        check(port.control() & SWITCHED_OFF, "the empty slot is on")
        plug(management)
        check(below(vm), "no device can come after the reset")


@case
def every_register_takes_any_value(nacre, plugins):
    """Each byte of the port's configuration, all ones and all zeroes, with a device below; then all works after a
    reset."""
    with machine(nacre, plugins, *COLD) as vm:
        management = Management(vm)
        base = pci.ECAM + (SLOT << 15)
        for value in (0xff, 0x00, 0x55):
            vm.requests([f"writeb {base + offset:#x} {value:#x}" for offset in range(0x100)])
            check(vm.readl(base) == 0x000c1b36, "the port's identity was written")
        vm.settle()
        management.done("system_reset")
        port = Port(vm)
        if not below(vm):  # the slot was switched off on the way
            management.wait_for("DEVICE_DELETED")
            plug(management)
        check(port.status() & PRESENT and below(vm), "the port does not work after a reset")
        transport = PciTransport(vm, pci.Function(vm, 1, 0))
        check(transport.features(), "the device below does not work after a reset")
