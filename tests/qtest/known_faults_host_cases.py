"""Known faults of others on the host's side: files, signals, peers, hot-plug, sizes, the log. Row by row:
../known-faults.md."""

import contextlib
import json
import os
import pathlib
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time

import devices
import pci
import qtest
from bench import Bench, case, check
from devices import BUFFERS, CONTENT
from known_faults import TRANSPORTS, USER_NETWORKS, WALKERS, machine, must_idle, must_not_grow, open_files, patience, status
from machine_cases import cmos
from management import Management
from q35_cases import with_disk
from ring import NEXT
from virtio import VERSION_1, Mmio, PciTransport

DISK, NET = devices.ALL["blk"], devices.ALL["net"]
ROUNDS = 1000
CLOEXEC = 0o2000000
PORT = ["-device", "pcie-root-port,id=pcie.1,bus=pcie.0,addr=0x3,port=0x1"]


def refused(nacre, plugins, *arguments):
    """The machine must not start: exit status 1 and one sentence, which is returned."""
    words = [nacre, "-plugin-dir", plugins, *arguments]
    done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=qtest.SECONDS)
    check(done.returncode == 1 and done.stderr.startswith("nacre: ") and not done.stdout,
          f"{arguments}: exit status {done.returncode}: {done.stdout}{done.stderr}")
    return done.stderr


class Monitor(Management):
    def wait_for(self, event):
        while event not in self.events:
            message = json.loads(self.lines.readline())
            if "event" in message:
                self.events.append(message["event"])
        self.events.remove(event)

    def done(self, command, **arguments):
        answer = self.execute(command, **arguments)
        check("return" in answer, f"{command} {arguments} answers {answer}")
        return answer["return"]

    def add_disk(self, vm, driver, **place):
        self.done("blockdev-add", **{"node-name": "d", "driver": "raw", "cache": {"direct": False},
                                     "file": {"driver": "file", "filename": str(vm.scratch / "disk")}})
        self.done("device_add", id="d", driver=driver, drive="d", **place)

    def delete(self, name):
        self.done("device_del", id=name)
        self.wait_for("DEVICE_DELETED")


# Row 2, and links besides

@case
def row_02_links_in_place_of_files(nacre, plugins):
    """A link at the place of a file that the machine makes is refused, and what it leads to untouched."""
    with tempfile.TemporaryDirectory(prefix="nacre-links-") as name:
        where = pathlib.Path(name)
        victim, nobody = where / "victim", where / "nobody"
        victim.write_bytes(b"of somebody else")
        base = ["-machine", "microvm", "-m", "128M", "-qtest", f"unix:{where}/test,server=on,wait=off"]
        options = {"-pidfile": lambda path: ["-daemonize", "-pidfile", path], "-D": lambda path: ["-D", path],
                   "-qmp": lambda path: ["-qmp", f"unix:{path},server,nowait"],
                   "-qtest": lambda path: [],
                   "-chardev socket": lambda path: ["-chardev", f"socket,id=c,path={path},server,nowait", "-serial",
                                                    "chardev:c"],
                   "-chardev file": lambda path: ["-chardev", f"file,id=c,path={path}", "-serial", "chardev:c"],
                   "-serial file": lambda path: ["-serial", f"file,path={path}"]}
        for name, make in options.items():
            for kind in ("a link", "a link to nothing", "a hard link"):
                path = where / "place"
                if kind == "a hard link":
                    os.link(victim, path)
                else:
                    path.symlink_to(victim if kind == "a link" else nobody)
                words = [*base[:-1], f"unix:{path},server=on,wait=off"] if name == "-qtest" else [*base, *make(path)]
                says = refused(nacre, plugins, *words)
                check("place" in says, f"{kind} at the place of {name} is refused without its name: {says}")
                check(victim.read_bytes() == b"of somebody else", f"{kind} at the place of {name}: it was changed")
                check(not nobody.exists(), f"{kind} at the place of {name}: a file was made where it leads")
                check(path.is_symlink() or path.stat().st_ino == victim.stat().st_ino,
                      f"{kind} at the place of {name} is gone")
                path.unlink()


@case
def row_02_output_goes_where_it_is_told(nacre, plugins):
    """A console's output goes to a file, which is emptied first, to a named pipe, to a device, and to what standard output is,
    by each of its names."""
    def says(path, here=False):
        """It says something to a console there, which is `here` where its own words go."""
        with machine(nacre, plugins, "-machine", "microvm", "-serial", f"file,path={path}") as vm:
            for byte in b"out":
                vm.outb(0x3f8, byte)
            if here:
                vm.wait_for(lambda: "out" in vm.log(), f"output to {path}")

    with tempfile.TemporaryDirectory(prefix="nacre-links-") as name:
        where = pathlib.Path(name)
        (where / "file").write_bytes(b"of before, and longer")
        says(where / "file")
        check((where / "file").read_bytes() == b"out", f"the file holds {(where / 'file').read_bytes()}")
        os.mkfifo(where / "pipe")
        (where / "link").symlink_to("pipe")
        for path in (where / "pipe", where / "link"):
            reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            says(path)
            check(os.read(reader, 100) == b"out", f"what {path.name} leads to has not got the output")
            os.close(reader)
        says("/dev/null")
        for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
            says(path, here=True)
        (where / "device").symlink_to("/dev/null")
        says(where / "device")


@case
def row_02_files_that_are_no_longer_ours_stay(nacre, plugins):
    """A pid file and sockets that somebody has replaced meanwhile are not removed at the end."""
    with tempfile.TemporaryDirectory(prefix="nacre-links-") as name:
        where = pathlib.Path(name)
        words = [nacre, "-plugin-dir", plugins, "-machine", "microvm", "-m", "128M", "-daemonize", "-pidfile",
                 where / "pid", "-qtest", f"unix:{where}/test,server=on,wait=off", "-qmp",
                 f"unix:{where}/qmp,server,nowait", "-chardev", f"socket,id=c,path={where}/line,server,nowait",
                 "-serial", "chardev:c"]
        done = subprocess.run([str(word) for word in words], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=qtest.SECONDS)
        check(done.returncode == 0, f"the daemon did not start: {done.stderr}")
        pid = int((where / "pid").read_text())
        process = os.pidfd_open(pid)
        try:
            names = ("pid", "test", "qmp", "line")
            for name in names:
                (where / "other").write_bytes(b"another's")
                os.rename(where / "other", where / name)
        finally:
            signal.pidfd_send_signal(process, signal.SIGTERM)
            ended, _, _ = select.select([process], [], [], qtest.SECONDS)
            os.close(process)
        check(ended, "the daemon does not end")
        left = [name for name in names if (where / name).exists()]
        check(left == list(names), f"of the files that others have put at {names} only {left} are left")


@case
def links_to_an_image_are_that_image(nacre, plugins):
    """A disk is the same by every name: no second drive writes to it through a link, of this machine or of another."""
    def prepare(scratch):
        DISK.prepare(scratch)
        (scratch / "soft").symlink_to("disk")
        os.link(scratch / "disk", scratch / "hard")

    drive = "id={0},file=SCRATCH/{1},direct=off"
    with machine(nacre, plugins, "-machine", "microvm", "-drive", drive.format("d", "soft"), "-device",
                 "virtio-blk-device,drive=d,id=d", prepare=prepare) as vm:
        for name in ("disk", "soft", "hard"):
            says = refused(nacre, plugins, "-machine", "microvm", "-qtest", f"unix:{vm.scratch}/q2,server=on,wait=off",
                           "-drive", f"id=e,file={vm.scratch}/{name},direct=off", "-device",
                           "virtio-blk-device,drive=e,id=e")
            check(name in says, f"the second machine is refused without the name of '{name}': {says}")
            answer = Management(vm).execute("blockdev-add", **{"node-name": "e", "driver": "raw", "file": {
                "driver": "file", "filename": str(vm.scratch / name)}, "cache": {"direct": False}})
            check("error" in answer, f"a second drive of this machine got the file as '{name}'")


@case
def descriptors_that_children_would_inherit(nacre, plugins):
    """Whatever the machine opens closes in a program that it starts: disk, network, sockets, clients, memory, logs."""
    with machine(nacre, plugins, "-machine", "q35,mem-share=on", "-D", "SCRATCH/own-log",
                 "-object", "iothread,id=t", "-object", "rng-random,id=r,filename=/dev/urandom",
                 "-drive", "id=d,file=SCRATCH/disk,direct=off", "-device", "virtio-blk-pci,drive=d,id=d,iothread=t",
                 "-netdev", "user,id=n", "-device", "virtio-net-pci,netdev=n,id=n", "-device", "virtio-rng-pci,rng=r",
                 "-chardev", "socket,id=c,path=SCRATCH/line,server,nowait", "-serial", "chardev:c",
                 "-chardev", "pty,id=p", "-device", "virtio-serial-pci,id=s", "-device", "virtconsole,chardev=p,id=con",
                 prepare=DISK.prepare) as vm:
        management = Management(vm)
        management.execute("query-status")
        other = socket.socket(socket.AF_UNIX)
        other.connect(str(vm.scratch / "line"))
        for function in pci.find(vm, 0x1af4, 0x1042):
            PciTransport(vm, function).start(VERSION_1, (0,))
        vm.settle()
        process = pathlib.Path(f"/proc/{vm.process.pid}")
        kept = []
        for link in (process / "fd").iterdir():
            flags = int((process / "fdinfo" / link.name).read_text().split("flags:")[1].split()[0], 8)
            if int(link.name) > 2 and not flags & CLOEXEC:
                kept.append(os.readlink(link))
        check(len(list((process / "fd").iterdir())) > 20, "the machine has hardly anything open")
        check(not kept, f"a child would inherit {kept}")
        other.close()


# Hot-plug

def count(vm):
    return status(vm, "Threads"), len(open_files(vm))


def leaves_nothing(vm, turn):
    """turn(number), ROUNDS times: from the 200th on threads and files stay as many, and the memory about as much."""
    for number in range(ROUNDS):
        turn(number)
        if number == 199:
            before, resident = count(vm), status(vm, "VmRSS")
    check(count(vm) == before, f"threads and files were {before} and are {count(vm)}")
    grown = status(vm, "VmRSS") - resident
    check(grown < 1024 * patience(vm) ** 2, f"the machine grew by {grown} KiB in {ROUNDS - 200} rounds")


@case
def row_17_thousand_disks_in_a_slot(nacre, plugins):
    """A disk comes, is used now and then, and goes, 1000 times: as many files and threads as before, its name free."""
    with machine(nacre, plugins, "-machine", "microvm", prepare=DISK.prepare) as vm:
        monitor = Monitor(vm)

        def turn(number):
            monitor.add_disk(vm, "virtio-blk-mmio", addr=f"{number % 6:#x}")
            if number % 25 == 24:  # each slot before the first count: what a slot has opened it keeps
                at = next(slot for slot in range(Mmio.SLOTS) if vm.readl(Mmio.BASE + slot * Mmio.STRIDE + 8) == 2 and
                          vm.readl(Mmio.BASE + slot * Mmio.STRIDE + 0x100))
                t = Mmio(vm, 2, at)
                ring, = t.start(VERSION_1, (0,))
                ring.offer(ring.chain(DISK.parts(vm)))
                t.notify(0)
                DISK.check(vm, ring.wait()[1])
            if number % 10 == 0:
                refusal = monitor.execute("device_add", id="d", driver="virtio-blk-mmio", drive="d")
                check("error" in refusal, "a second device got the same name")
            monitor.delete("d")
            if number % 10 == 0:
                check("error" in monitor.execute("device_del", id="d"), "a device was removed twice")

        leaves_nothing(vm, turn)


def disk_below_the_port(vm):
    """turn(number): a disk comes below PORT, is looked for now and then, and goes."""
    vm.writel(pci.ECAM + (3 << 15) + 0x18, 0x00010100)
    monitor = Monitor(vm)

    def turn(number):
        monitor.add_disk(vm, "virtio-blk-pci", bus="pcie.1", addr="0x0")
        if number % 100 == 99:
            vm.wait_for(lambda: vm.readl(pci.ECAM + (1 << 20)) == 0x10421af4, "the disk below the port")
        monitor.delete("d")
        monitor.done("blockdev-del", **{"node-name": "d"})

    return turn


@case
def row_17_thousand_disks_below_a_port(nacre, plugins):
    with machine(nacre, plugins, "-machine", "q35", *PORT, prepare=DISK.prepare) as vm:
        leaves_nothing(vm, disk_below_the_port(vm))


@case
def row_37_unplugged_with_requests_under_way(nacre, plugins):
    """A disk, and a network, go while their queues are full; nothing is written to the guest's memory afterwards."""
    with machine(nacre, plugins, "-machine", "q35", *PORT, *USER_NETWORKS, prepare=DISK.prepare) as vm:
        vm.writel(pci.ECAM + (3 << 15) + 0x18, 0x00010100)
        monitor = Monitor(vm)
        for number in range(20):
            if number % 2:
                monitor.done("netdev_add", id="n", type="user")
                monitor.done("device_add", id="n", driver="virtio-net-pci", netdev="n", bus="pcie.1", addr="0x0",
                             mac="52:54:00:12:34:56")
            else:
                monitor.add_disk(vm, "virtio-blk-pci", bus="pcie.1", addr="0x0")
            wanted = 0x10411af4 if number % 2 else 0x10421af4
            vm.wait_for(lambda: vm.readl(pci.ECAM + (1 << 20)) == wanted, "the device below the port")
            vm.writel(pci.ECAM + (3 << 15) + 0x20, 0xc2f0c200)  # the port's window
            vm.writew(pci.ECAM + (3 << 15) + 4, 7)
            function = pci.Function(vm, 1, 0)
            t = PciTransport(vm, function)
            if number % 2:
                receiving, ring = t.start(VERSION_1, (0, 1))
                receiving.offer(*[receiving.chain([(BUFFERS + 0x100000 + 2048 * head, 2048, True)], head)
                                  for head in range(64)])
                ring.set_heads(ring.chain(NET.parts(vm)))
            else:
                ring, = t.start(VERSION_1, (0,))
                vm.write(BUFFERS, struct.pack("<IIQ", 0, 0, 0))
                ring.set_heads(ring.chain([(BUFFERS, 16, False), (BUFFERS + 0x10000, len(CONTENT), True),
                                           (BUFFERS + 0x2000, 1, True)]))
            ring.advance(ring.size)
            t.notify(number % 2)
            monitor.done("device_del", id="n" if number % 2 else "d")
            # The guest switches the slot off, as its attention button asks it to.
            express = next(at for kind, at in pci.Function(vm, 0, 3).capabilities() if kind == 0x10)
            vm.writew(pci.ECAM + (3 << 15) + express + 0x18, 0x07c0 | 0x0400)
            monitor.wait_for("DEVICE_DELETED")
            if number % 2:
                monitor.done("netdev_del", id="n")
            else:
                monitor.done("blockdev-del", **{"node-name": "d"})
            used = ring.used_index()
            vm.write(BUFFERS + 0x10000, bytes(len(CONTENT)))
            vm.settle()
            check(ring.used_index() == used, "a device that is gone used a buffer")
            check(vm.read(BUFFERS + 0x10000, 4096) == bytes(4096), "a device that is gone wrote to memory")
            vm.writew(pci.ECAM + (3 << 15) + express + 0x18, 0x01c0)


# Sizes, signals, peers

@case
def row_22_sizes_that_overflow(nacre, plugins):
    """Numbers that are small again when their unit is reckoned in: refused in words, or seen to be too large."""
    base = ["-machine", "microvm", "-qtest", "unix:/nonexistent/test,server=on,wait=off"]
    sizes = ["17592186044416M", "17592186044417M", "17592186044544M", "17179869184G", "17179869185G",
             "18014398509481984K", "18446744073709551616", "18446744073709551615G", "36893488147419103232M",
             "-128M", "0x80000000000M", "9223372036854775808", "18446744073709551488"]
    for size in sizes:
        says = refused(nacre, plugins, *base, "-m", size)
        check("/nonexistent" not in says, f"-m {size} was taken: {says}")
        says = refused(nacre, plugins, *base, "-m", "128M", "-object", f"memory-backend-ram,id=m,size={size}", "-numa",
                       "node,nodeid=0,cpus=0,memdev=m")
        check("/nonexistent" not in says, f"a memory back end of {size} was taken: {says}")
    for count_ in ("4294967297", "65537", "18446744073709551617", "256"):
        says = refused(nacre, plugins, *base, "-m", "128M", "-smp", count_)
        check("/nonexistent" not in says, f"-smp {count_} was taken: {says}")
    for name, value in (("throttling.iops-total", "18446744073709551616"), ("throttling.iops-total", "-1")):
        says = refused(nacre, plugins, *base, "-m", "128M", "-drive", f"id=d,file=/dev/null,{name}={value}")
        check(name.split(".")[1] in says, f"{name}={value} is refused for something else: {says}")
    bench = Bench(nacre, plugins, devices.ALL["balloon"], "mmio")
    try:
        bench.start()
        management = Management(bench.vm)
        for value in (1 << 63, (1 << 64) - 1, (1 << 63) - 1, -1, -(1 << 63), 1 << 64, 1 << 44, 1 << 52):
            answer = management.execute("balloon", value=value)
            pages = bench.transport.config_load(0, 4)
            check("error" in answer or pages == 0, f"balloon {value} asks for {pages} pages: {answer}")
        bench.must_work("after sizes that overflow")
    finally:
        bench.vm.close()


@case
def row_23_signals_in_a_storm(nacre, plugins):
    """Signals that are ignored by the hundred, with SIGSYS, which tells of a refused system call only where the kernel has
    sent it, and then ten of each that ends, while all threads write to the log: the machine ends at once and in order."""
    os.environ["NACRE_LOG_LEVEL"] = "trace"
    try:
        for ending in ((signal.SIGTERM,), (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)):
            vm = with_disk(nacre, plugins, "-object", "iothread,id=t")
            try:
                management = Management(vm)
                for _ in range(300):
                    for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGWINCH, signal.SIGURG, signal.SIGSYS):
                        vm.process.send_signal(number)
                    management.execute("query-status")
                vm.check_alive()
                for _ in range(10):
                    management.lines.write('{"execute":"query-status"}\n' * 20)
                    management.lines.flush()
                    for number in ending:
                        vm.process.send_signal(number)
                check(vm.process.wait(qtest.SECONDS) == 0, f"{ending}: exit status {vm.process.returncode}")
                check(not vm.qmp.exists(), "the QMP socket is left behind")
            finally:
                vm.close()
    finally:
        del os.environ["NACRE_LOG_LEVEL"]


@case
def row_24_idle_after_a_peer_has_left(nacre, plugins):
    """Less than 1 % of a CPU after each end of a connection: closed, half closed, with bytes in it, killed."""
    with machine(nacre, plugins, "-machine", "microvm", "-chardev", "socket,id=c,path=SCRATCH/line,server,nowait",
                 "-serial", "chardev:c", "-chardev", "socket,id=v,path=SCRATCH/console,server,nowait", "-device",
                 "virtio-serial-device,id=s", "-device", "virtconsole,chardev=v,id=con",
                 *NET.arguments("-device")) as vm:
        kept = []
        for path in ("line", "console", "qmp"):
            for way in ("closed", "half closed", "with bytes in it", "half closed with bytes in it"):
                other = socket.socket(socket.AF_UNIX)
                other.connect(str(vm.scratch / path))
                vm.settle()
                if "bytes" in way:
                    with contextlib.suppress(BlockingIOError):
                        other.setblocking(False)
                        for _ in range(50):
                            other.send(b'{"execute": ' if path == "qmp" else b"x" * 1000)
                if way.startswith("half"):
                    other.shutdown(socket.SHUT_WR)
                    kept.append(other)
                    must_idle(vm, f"{path}, {way}")
                    other.close()
                else:
                    other.close()
                must_idle(vm, f"{path}, {way}")
        children = pathlib.Path(f"/proc/{vm.process.pid}/task/{vm.process.pid}/children").read_text().split()
        check(children, "passt is no child of the machine")
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        must_idle(vm, "passt, killed", 0.2)
        Management(vm).execute("query-status")


# Floods, and time

@case
def console_floods_that_nobody_reads(nacre, plugins):
    """The guest writes without end to a serial port and a console whose client reads nothing: the machine collects a
    bounded number of bytes, and goes on."""
    arguments = ["-chardev", "socket,id=c,path=SCRATCH/line,server,nowait", "-serial", "chardev:c", "-chardev",
                 "socket,id=v,path=SCRATCH/console,server,nowait", "-device", "virtio-serial-device,id=s", "-device",
                 "virtconsole,chardev=v,id=con"]
    with machine(nacre, plugins, "-machine", "microvm", *arguments) as vm:
        clients = []
        for name in ("line", "console"):
            clients.append(socket.socket(socket.AF_UNIX))
            clients[-1].connect(str(vm.scratch / name))
        t = Mmio(vm, 3)
        _, ring = t.start(VERSION_1, (0, 1))
        vm.write(BUFFERS, b"flood" * 200000)
        ring.set_heads(ring.chain([(BUFFERS, 1000000, False)]))
        with must_not_grow(vm, 2048, "output that nobody reads"):
            for _ in range(50):
                ring.advance(min(64, 64 - (ring.next - ring.used_index() & 0xffff)))
                t.notify(1)
                vm.requests(["outb 0x3f8 0x46"] * 200)
        check(t.works(), "a client that does not read has broken the console")
        must_idle(vm, "two clients that do not read")
        # When the client reads, what waited comes.
        clients[1].settimeout(qtest.SECONDS)
        got = 0
        while got < 3000000:
            got += len(clients[1].recv(1 << 20))
        for client in clients:
            client.close()


@case
def log_flood_by_the_guest(nacre, plugins):
    """A driver that breaks its device without end, in each way, and a disk whose every request fails: some lines a
    second come of it, not one each time."""
    for transport in TRANSPORTS:
        for name in WALKERS:
            bench = Bench(nacre, plugins, devices.ALL[name], transport)
            try:
                begin = time.monotonic()
                for _ in range(40):
                    ring = bench.start()
                    ring.put(0, BUFFERS, 16, NEXT, 0)
                    ring.offer(0)
                    bench.transport.notify(bench.device.queue)
                    bench.must_break(ring, "for a loop")
                    bench.transport.reset()
                    bench.transport.start(VERSION_1, bench.device.queues, size=64)
                    bench.transport.set_status(0)
                    bench.transport.config_store(0, 4, 0xffffffff)
                if name == "blk":
                    os.truncate(bench.vm.scratch / "disk", 0)
                    ring = bench.start()
                    ring.set_heads(ring.chain(DISK.parts(bench.vm)))
                    for _ in range(20):
                        ring.advance(ring.size)
                        bench.transport.notify(0)
                        bench.vm.wait_for(lambda: ring.used_index() == ring.next, "requests that fail")
                    check(bench.vm.readb(BUFFERS + 0x2000) == 1, "a read of a file that became shorter succeeds")
                    (bench.vm.scratch / "disk").write_bytes(CONTENT)
                lines = bench.vm.log().count("\n")
                seconds = time.monotonic() - begin
                check(0 < lines <= 4 * (seconds + 2), f"{lines} lines in {seconds:.1f} s: {bench.vm.log()[:999]}")
                bench.must_work("after a flood of the log")
            finally:
                bench.vm.close()


def set_cmos(vm, index, value):
    vm.outb(0x70, index)
    vm.outb(0x71, value // 10 << 4 | value % 10)


@case
def time_that_goes_back(nacre, plugins):
    """The clock does not go back when it is told to, and limits and timers go on from where it is; the guest may set
    the real-time clock back, whose updates then still come each second."""
    with with_disk(nacre, plugins) as vm:
        vm.request("irq_intercept_in ioapic")
        check(vm.clock_step(50_000_000_000) == 50_000_000_000, "clock_step")
        ticks = vm.inl(0x608)
        for wish in (49_999_999_999, 1, 0):
            check(vm.request(f"clock_set {wish}") == "50000000000", f"the clock went back to {wish}")
        check(vm.inl(0x608) == ticks, "the ACPI timer went back")
        for index, value in ((9, 1), (8, 1), (7, 1), (4, 0), (2, 0), (0, 0)):  # the first of January of year 1
            set_cmos(vm, index, value)
        check((cmos(vm, 9), cmos(vm, 8), cmos(vm, 7), cmos(vm, 4)) == (1, 1, 1, 0), "the real-time clock was not set")
        second = cmos(vm, 0)
        vm.clock_step(5_000_000_000)
        check((cmos(vm, 0) - second) % 60 == 5, "the real-time clock does not go on from where it was set back to")
        vm.outb(0x70, 0x0b)
        settings = vm.inb(0x71)
        vm.outb(0x71, settings | 0x10)
        vm.irqs.clear()
        for _ in range(3):
            vm.outb(0x70, 0x0c)
            vm.inb(0x71)
            vm.clock_step(1_000_000_000)
            vm.settle()
            check(("raise", 8) in vm.irqs, "no update came within a second of the clock that was set back")
            vm.irqs.clear()
        must_idle(vm, "a real-time clock that was set back")


@case
def time_that_goes_back_under_a_limit(nacre, plugins):
    with machine(nacre, plugins, "-machine", "microvm", "-drive",
                 "id=d,file=SCRATCH/disk,direct=off,throttling.iops-total=1", "-device",
                 "virtio-blk-device,drive=d,id=d", prepare=DISK.prepare) as vm:
        vm.clock_step(100_000_000_000)
        t = Mmio(vm, 2)
        ring, = t.start(VERSION_1, (0,))
        ring.set_heads(ring.chain(DISK.parts(vm)))
        ring.advance(3)
        t.notify(0)
        vm.request("clock_set 0")
        vm.settle()
        check(ring.used_index() < 3, "the limit is gone when the clock is told to go back")
        vm.clock_step(5_000_000_000)
        vm.wait_for(lambda: ring.used_index() == 3, "the requests, five seconds later")
