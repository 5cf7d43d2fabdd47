"""The protocols themselves, virtual time, and what the machines have besides virtio."""

import socket

import devices
import pci
import qtest
from bench import case, check
from q35_cases import with_disk
from virtio import VERSION_1, Mmio, PciTransport

RAM = 0x100000
DISK = devices.ALL["blk"]


def refused(vm, line, *says):
    answer = vm.raw_request(line)
    check(answer.startswith("FAIL ") and all(word in answer for word in says), f"'{line[:60]}' is answered '{answer}'")


@case
def reads_and_writes(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "microvm"]) as vm:
        for width, value in ((1, 0xa5), (2, 0xa5b6), (4, 0xa5b6c7d8), (8, 0xa5b6c7d8e9fa0b1c)):
            for at in (RAM, RAM + 1, 0x7fffff8):
                vm.store(at, width, value)
                check(vm.load(at, width) == value, f"{width} bytes at {at:#x} are not read as written")
                check(vm.read(at, width) == value.to_bytes(width, "little"), "the bytes are not little-endian")
        vm.writeb(RAM, 0x7f)
        check(vm.raw_request(f"readb {RAM}") == "OK 0x000000000000007f", "readb answers in another form than QEMU's")
        data = bytes(range(256)) * 20
        vm.write(RAM + 3, data)
        check(vm.read(RAM + 3, len(data)) == data, "a block is not read as written")
        check(vm.request("b64write 0x100000 5 aGVsbG8=") == "" and vm.read(RAM, 5) == b"hello", "b64write")
        check(vm.request("b64read 0x100000 4") == "aGVsbA==", "b64read")
        vm.request("memset 0x100000 4 0x5a")
        check(vm.read(RAM, 5) == b"ZZZZo", "memset")
        check(vm.request("endianness") == "little", "endianness")
        check(vm.readl(0xe0000000) == 0xffffffff, "nothing reads as other than ones")
        check(vm.readq(0x7fffffc) >> 32 == 0xffffffff, "a read across the end of memory")


@case
def registers_and_ports(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "microvm", "-serial", "file,path=SCRATCH/serial"]) as vm:
        check(vm.readl(0xf0100000) == 0x74726976, "the first slot has no virtio magic")
        vm.writel(0xf0100000, 0)
        check(vm.readl(0xf0100000) == 0x74726976, "the magic was written over")
        for byte in b"by port\n":
            vm.outb(0x3f8, byte)
        vm.wait_for(lambda: (vm.scratch / "serial").read_bytes() == b"by port\n", "the serial port's output")
        check(vm.inb(0x3fd) & 0x60 == 0x60, "the serial port is not ready")
        check(vm.raw_request("inw 0x3fff") == "OK 0xffff", "a port without a device")


@case
def lines_that_are_wrong(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "microvm"]) as vm:
        for line, says in (
                ("", ["empty"]), ("   ", ["empty"]), ("readz 1", ["Unknown command", "Did you mean"]),
                ("readl", ["readl ADDR"]), ("readl 1 2", ["readl ADDR"]), ("readl x", ["'x'"]),
                ("readl 0x", ["no number"]), ("readl 0x10000000000000000", ["64 bits"]), ("readl -1", ["no number"]),
                ("writel 1", ["writel ADDR VALUE"]), ("writel 1 z", ["'z'"]), ("read 0 0", ["between"]),
                ("read 0 0xffffffffff", ["between"]), ("read 0xfffffffffffffff0 0x20", ["beyond"]),
                ("write 0 2 0x00", ["1 bytes, not 2"]), ("write 0 1 zz", ["hexadecimal"]), ("write 0 1 0x", ["hexa"]),
                ("b64write 0 1 !!!!", ["base64"]), ("b64write 0 1 AAA", ["base64"]), ("b64write 0 1 AAAA", ["3 bytes"]),
                ("memset 0 1 x", ["'x'"]), ("inb 0x10000", ["no port"]), ("outb 0x10000 0", ["no port"]),
                ("clock_step x", ["'x'"]), ("clock_set", ["clock_set NS"]), ("clock_step 0xffffffffffffffff", []),
                ("irq_intercept_in nobody", ["Unknown device"]), ("q" * 100000, ["Unknown command"])):
            if line == "clock_step 0xffffffffffffffff":
                vm.clock_step(1)
            refused(vm, line, *says)
        check(vm.readl(0xf0100000) == 0x74726976, "the machine is out of order after all that")


@case
def several_lines_at_once(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "microvm"]) as vm:
        vm._socket.sendall(b"writeb 0x1000 1\nwriteb 0x1000 2\r\nreadb 0x1000\nread")
        check([vm._line() for _ in range(3)] == ["OK", "OK", "OK 0x0000000000000002"], "lines out of order")
        check(vm.raw_request("b 0x1000") == "OK 0x0000000000000002", "a line in two pieces")


@case
def test_connects_and_comes_again(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "microvm"], listen=True) as vm:
        vm.writeb(RAM, 3)
        vm._socket.close()
        vm._socket = vm._meet(None, vm.scratch / "qtest")
        vm._socket.settimeout(qtest.SECONDS)
        check(vm.readb(RAM) == 3, "the machine was not the same for the second client")


@case
def machine_ends_with_its_test(nacre, plugins):
    vm = qtest.Machine(nacre, plugins, ["-machine", "microvm"])
    try:
        vm._socket.close()
        check(vm.process.wait(qtest.SECONDS) == 0, "the machine did not end well when its test left")
    finally:
        vm.close()


@case
def clock_is_virtual(nacre, plugins):
    with qtest.Machine(nacre, plugins, ["-machine", "q35"]) as vm:
        check(vm.clock_step(0) == 0, "the clock does not begin at 0")
        check(vm.clock_step(1000) == 1000, "clock_step")
        check(vm.request("clock_set 5000") == "5000", "clock_set")
        check(vm.request("clock_set 4000") == "5000", "the clock went back")
        before = vm.inl(0x608)
        check(vm.inl(0x608) == before, "the ACPI timer runs although time stands still")
        vm.clock_step(1_000_000_000)
        check(vm.inl(0x608) - before & 0xffffff == 3579545, "the ACPI timer does not follow the clock")


def cmos(vm, index):
    vm.outb(0x70, index)
    value = vm.inb(0x71)
    return (value >> 4) * 10 + (value & 15)


@case
def clock_steps_to_the_next_timer(nacre, plugins):
    """Without a number: refused where no timer runs, as QEMU does, and the balloon's interval where that is the next."""
    with qtest.Machine(nacre, plugins, ["-machine", "microvm", "-device", "virtio-balloon-device,id=b,stats-interval=3"]) as vm:
        answer = vm.raw_request("clock_step")
        check(answer.startswith("FAIL") and "no timer runs" in answer, f"without a timer clock_step answers {answer}")
        check(vm.clock_step(0) == 0, "a step that was refused has moved the clock")
        Mmio(vm, 5).start(VERSION_1 | 2, (0, 1, 2))  # VIRTIO_BALLOON_F_STATS_VQ
        for second in (3, 6):
            check(vm.request("clock_step") == str(second * 1_000_000_000), f"the next timer is not at {second} s")
        vm.clock_step(1_000_000_000)
        check(vm.request("clock_step") == "9000000000", "the next timer is not the next, but one interval from now")


@case
def ram_sizes_of_a_pc(nacre, plugins):
    """Where a PC's firmware looks for them: KiB below 640 KiB, KiB above 1 MiB up to 64 MiB, and units of 64 KiB above
    16 MiB and above 4 GiB."""
    def cmos(vm, index, count):
        total = 0
        for place in range(count):
            vm.outb(0x70, index + place)
            total |= vm.inb(0x71) << 8 * place
        return total

    for memory, above_1, above_16, above_4g in (("128M", 0xffff, (128 - 16) << 4, 0), ("2G", 0xffff, (2048 - 16) << 4, 0),
                                                ("3G", 0xffff, (2048 - 16) << 4, 1024 << 4)):
        with qtest.Machine(nacre, plugins, ["-machine", "q35"], memory=memory) as vm:
            for index, count, want in ((0x15, 2, 640), (0x17, 2, above_1), (0x30, 2, above_1), (0x34, 2, above_16),
                                       (0x5b, 3, above_4g)):
                got = cmos(vm, index, count)
                check(got == want, f"{memory}: the registers from {index:#x} on say {got:#x}, not {want:#x}")


@case
def clock_of_the_board(nacre, plugins):
    """Its time, and its alarm and periodic interrupts on line 8, come by clock_step alone."""
    with qtest.Machine(nacre, plugins, ["-machine", "q35"]) as vm:
        vm.request("irq_intercept_in ioapic")
        start = cmos(vm, 0)
        check(cmos(vm, 0) == start, "seconds pass although time stands still")
        vm.clock_step(7_000_000_000)
        check((cmos(vm, 0) - start) % 60 == 7, "the seconds do not follow the clock")
        vm.outb(0x70, 0x0c)
        vm.inb(0x71)  # forgets the updates so far
        vm.outb(0x70, 0x0b)
        settings = vm.inb(0x71)
        vm.outb(0x71, settings | 0x10)  # an interrupt at each update
        check(not vm.irqs, "an interrupt came without time")
        vm.clock_step(1_100_000_000)
        vm.settle()
        check(("raise", 8) in vm.irqs, "the update's interrupt did not come in its second")
        vm.outb(0x70, 0x0c)
        check(vm.inb(0x71) & 0x90 == 0x90, "register C does not say why")
        check(vm.irqs[-1] == ("lower", 8), "the line stays up after register C was read")


@case
def limit_of_random_bytes_follows_the_clock(nacre, plugins):
    arguments = ["-machine", "microvm", "-object", "rng-random,id=r,filename=/dev/urandom", "-device",
                 "virtio-rng-device,rng=r,id=rng,max-bytes=128,period=1000"]
    with qtest.Machine(nacre, plugins, arguments) as vm:
        ring, = Mmio(vm, 4).start(VERSION_1, (0,))
        transport = Mmio(vm, 4)
        got = 0
        for number in range(4):
            ring.offer(ring.chain([(RAM, 64, True)], number))
        transport.notify(0)
        vm.settle()
        while ring.is_used():
            got += ring.take()[1]
        check(64 <= got <= 128, f"{got} bytes came at once, where 128 a second are allowed")
        vm.settle()
        check(not ring.is_used(), "more bytes came although time stood still")
        for _ in range(8):
            vm.clock_step(500_000_000)
            vm.settle()
        while ring.is_used():
            got += ring.take()[1]
        check(ring.seen == 4, f"only {ring.seen} of 4 requests were served in 4 seconds")


@case
def limit_of_a_disk_follows_the_clock(nacre, plugins):
    arguments = ["-machine", "microvm", "-drive", "id=d,file=SCRATCH/disk,direct=off,throttling.iops-total=1",
                 "-device", "virtio-blk-device,drive=d,id=d"]
    with qtest.Machine(nacre, plugins, arguments, prepare=DISK.prepare) as vm:
        transport = Mmio(vm, 2)
        ring, = transport.start(VERSION_1, (0,))
        served = []
        for number in range(4):
            ring.offer(ring.chain(DISK.parts(vm)))
            transport.notify(0)
            for _ in range(20):
                vm.settle()
            served.append(ring.used_index())
        check(served[0] == 1 and served[-1] < 4, f"one request a second: without time {served} were served")
        before = ring.used_index()
        vm.clock_step(1_000_000_000)
        vm.wait_for(lambda: ring.used_index() > before, "the request of the next second")
        vm.clock_step(10_000_000_000)
        vm.wait_for(lambda: ring.used_index() == 4, "the requests of the next ten seconds")


@case
def serial_port_interrupts(nacre, plugins):
    """Line 4: for what comes, and for room, each while it is asked for; input by a socket."""
    arguments = ["-machine", "microvm", "-chardev", "socket,id=c,path=SCRATCH/line,server,nowait", "-serial",
                 "chardev:c"]
    with qtest.Machine(nacre, plugins, arguments) as vm:
        vm.request("irq_intercept_in ioapic")
        other = socket.socket(socket.AF_UNIX)
        other.settimeout(qtest.SECONDS)
        other.connect(str(vm.scratch / "line"))
        other.sendall(b"K")
        vm.wait_for(lambda: vm.inb(0x3fd) & 1, "the byte")
        check(("raise", 4) not in vm.irqs, "an interrupt came that nobody wanted")
        vm.outb(0x3fc, 0x08)  # OUT2 lets interrupts through
        vm.outb(0x3f9, 0x01)
        vm.wait_for(lambda: vm.settle() or ("raise", 4) in vm.irqs, "the interrupt of a byte")
        check(vm.inb(0x3fa) & 0x0f in (4, 12), "the port does not say that a byte has come")
        check(vm.inb(0x3f8) == ord("K"), "another byte came")
        vm.settle()
        check(vm.irqs[-1] == ("lower", 4), "the line stays up although the byte was read")
        vm.outb(0x3f9, 0x02)
        vm.settle()
        check(vm.irqs[-1] == ("raise", 4) and vm.inb(0x3fa) & 0x0f == 2, "no interrupt tells of room")
        vm.outb(0x3f8, ord("L"))
        check(other.recv(1) == b"L", "the byte did not go out")
        vm.outb(0x3f9, 0)
        vm.settle()
        check(vm.irqs[-1] == ("lower", 4), "the line stays up although nothing is asked for")
        other.close()


@case
def disks_in_threads_of_their_own(nacre, plugins):
    arguments = ["-machine", "microvm", "-object", "iothread,id=t", "-drive", "id=d,file=SCRATCH/disk,direct=off",
                 "-device", "virtio-blk-device,drive=d,id=d,iothread=t"]
    with qtest.Machine(nacre, plugins, arguments, prepare=DISK.prepare) as vm:
        transport = Mmio(vm, 2)
        ring, = transport.start(VERSION_1, (0,))
        for _ in range(20):
            ring.offer(ring.chain(DISK.parts(vm)))
            transport.notify(0)
            DISK.check(vm, ring.wait()[1])
            vm.wait_for(lambda: transport.took_interrupt(0), "the interrupt")
        check(vm.clock_step(1000) == 1000, "the clock stands still with an iothread")


@case
def stratovirt_dialect(nacre, plugins):
    """Requests without an end of line, patterns of several bytes, other words for what is not known."""
    with qtest.Machine(nacre, plugins, ["-machine", "q35", "-drive", "id=d,file=SCRATCH/disk,direct=off", "-device",
                                        "virtio-blk-pci,drive=d,id=d,bus=pcie.0,addr=0x4.0x0"], dialect="test",
                       memory="2048M", prepare=DISK.prepare) as vm:
        check(vm.raw_request("readw 0xb0020000") == "OK 0x0000000000001af4", "the vendor by StratoVirt's ECAM")
        check(vm.raw_request("writeb 0x40000000 0x5") == "OK", "a value of one digit")
        check(vm.raw_request("write 0x40000000 0x3 0x10203") == "OK", "an odd number of digits")
        check(vm.raw_request("read 0x40000000 0x3") == "OK 0x010203", "bytes in memory order")
        check(vm.raw_request("memset 0x40000000 0x5 0x0a0b") == "OK", "a pattern of two bytes")
        check(vm.raw_request("read 0x40000000 0x6") == "OK 0x0a0b0a0b0a00", "the pattern, repeated")
        check(vm.raw_request("dance 1") == "Unsupported command: dance", "a command that is not known")
        check(vm.raw_request("clock_step") == "OK 0" and vm.raw_request("clock_step 10") == "OK 10", "clock_step")
        check(vm.raw_request("query_intx 16") == "OK FALSE", "a line that is down")
        transport = PciTransport(vm, pci.find(vm, 0x1af4, 0x1042)[0])
        ring, = transport.start(VERSION_1, (0,))
        ring.offer(ring.chain(DISK.parts(vm)))
        transport.notify(0)
        DISK.check(vm, ring.wait()[1])
        data = transport.function.FIRST_DATA + 1
        vm.wait_for(lambda: vm.raw_request(f"query_msix {transport.MESSAGES} {data}") == "OK TRUE", "the message")
        check(vm.raw_request(f"query_msix {transport.MESSAGES} {data}") == "OK FALSE", "asking consumes the message")
        vm.write(0x40000000, bytes(3000))  # a request of some 6 KiB
        check(vm.read(0x40000000, 3000) == bytes(3000), "a long request")


@case
def stratovirt_pin_is_acknowledged(nacre, plugins):
    with with_disk(nacre, plugins) as vm:
        transport = PciTransport(vm, pci.find(vm, 0x1af4, 0x1042)[0], pin=True)
        ring, = transport.start(VERSION_1, (0,))
        ring.offer(ring.chain(DISK.parts(vm)))
        transport.notify(0)
        ring.wait()
        line = transport.function.line
        vm.wait_for(lambda: vm.line_is_up(line), "the pin's line")
        vm.readb(transport.isr)
        check(vm.request(f"eoi_intx {line}") == "TRUE" and vm.request("eoi_intx 99") == "FALSE", "eoi_intx")
        check(not vm.line_is_up(line), "the line is up after its end of interrupt")


@case
def no_kvm_is_opened(nacre, plugins):
    for name in ("microvm", "q35"):
        with qtest.Machine(nacre, plugins, ["-machine", name, "-smp", "2"]) as vm:
            files = qtest.open_files(vm.process.pid)
            check(files and not [file for file in files if "kvm" in file], f"the machine {name} has KVM open: {files}")
