"""The devices of the suites: how each is given to a machine, and one request that it must serve."""

import contextlib
import socket
import struct

from ring import NO_INTERRUPT
from vhost_user_peer import Peer
from virtio import EVENT_IDX, INDIRECT_DESC

BUFFERS = 0x2000000  # guest memory of requests
CONTENT = b"".join(bytes([65 + sector % 26]) * 512 for sector in range(64))  # of the disk


class Device:
    """`id` is virtio's; `queue` the one that parts() is for, `queues` those that a driver sets up."""

    id = queue = 0
    offers = 0  # of the ring's own features
    queues = (0,)
    machine = ""            # properties that the machine needs for it
    slow = False            # in using buffers, since something else has to happen each time
    walks_its_rings = True  # else another process does, and what a ring does wrong is that one's affair

    writable = ()           # offsets of its configuration that a driver may write
    features = 0            # beyond the ring's own, that its queue needs
    preload = None          # a library of the build's tests/qtest that the machine is started with

    def before(self, bench, rings):
        """What the driver gives the device before its first request."""

    def provoke(self, bench, count):
        """What makes the device use so many buffers that it has been told of, where that is not all it needs."""

    def prepare(self, scratch):
        """Makes the files that arguments() name."""

    def end(self):
        """After the machine has ended."""

    def arguments(self, suffix):
        raise NotImplementedError

    def parts(self, vm, at=BUFFERS):
        """Writes one request at `at`; its parts as (address, length, writable)."""
        raise NotImplementedError

    def check(self, vm, length, at=BUFFERS):
        """The request was served, with `length` in the used ring: raises when it was served wrongly."""


    def refused(self, vm, parts):
        """Whether these parts, which are no request and were used, tell the driver so."""
        return True


class Disk(Device):
    id = 2
    offers = INDIRECT_DESC | EVENT_IDX

    def prepare(self, scratch):
        (scratch / "disk").write_bytes(CONTENT)

    def arguments(self, suffix):
        return ["-drive", "id=d,file=SCRATCH/disk,direct=off", "-device", f"virtio-blk{suffix},drive=d,id=d,serial=q1"]

    def parts(self, vm, at=BUFFERS, kind=0, sector=1):
        vm.write(at, struct.pack("<IIQ", kind, 0, sector))
        vm.write(at + 0x1000, bytes(512))
        vm.writeb(at + 0x2000, 0xff)
        return [(at, 16, False), (at + 0x1000, 512, True), (at + 0x2000, 1, True)]

    def check(self, vm, length, at=BUFFERS):
        assert vm.readb(at + 0x2000) == 0, f"the disk's status is {vm.readb(at + 0x2000)}"
        assert vm.read(at + 0x1000, 512) == CONTENT[512:1024], "the disk gave other bytes than its file has"
        assert length == 513, f"the disk says that it wrote {length} bytes, not 513"

    def refused(self, vm, parts):
        address, length, _ = parts[-1]
        return vm.readb(address + length - 1) in (1, 2)  # IOERR, UNSUPP


class DiskQueue(Disk):
    """The last of a disk's four."""

    queue = 3
    queues = (0, 1, 2, 3)
    features = 1 << 12  # VIRTIO_BLK_F_MQ

    def arguments(self, suffix):
        words = super().arguments(suffix)
        return [*words[:-1], words[-1] + ",num-queues=4"]


class Rng(Device):
    id = 4

    def arguments(self, suffix):
        return ["-object", "rng-random,id=r,filename=/dev/urandom", "-device", f"virtio-rng{suffix},rng=r,id=rng"]

    def parts(self, vm, at=BUFFERS):
        vm.write(at, bytes(64))
        return [(at, 64, True)]

    def check(self, vm, length, at=BUFFERS):
        assert 0 < length <= 64, f"the random source wrote {length} bytes"
        assert vm.read(at, 64).rstrip(b"\0"), "the random bytes are all 0"


class Balloon(Device):
    id = 5
    queues = (0, 1)
    writable = range(4, 8)  # actual

    def arguments(self, suffix):
        return ["-device", f"virtio-balloon{suffix},id=balloon,statistics=on"]

    def parts(self, vm, at=BUFFERS):
        vm.write(0x3000000, b"gone")
        vm.writel(at, 0x3000000 >> 12)
        return [(at, 4, False)]

    def check(self, vm, length, at=BUFFERS):
        assert vm.read(0x3000000, 4) == bytes(4), "the balloon has not taken the page"
        assert length == 0, f"the balloon says that it wrote {length} bytes"


class BalloonDeflate(Balloon):
    """The queue by which the driver takes pages back: the device has nothing to do to them."""

    queue = 1

    def parts(self, vm, at=BUFFERS):
        super().parts(vm, at)
        return [(at, 4, False)]

    def check(self, vm, length, at=BUFFERS):
        assert vm.read(0x3000000, 4) == b"gone", "the balloon has taken a page that it was asked to give"
        assert length == 0, f"the balloon says that it wrote {length} bytes"


class BalloonReporting(Balloon):
    """The queue of free pages, which the device takes from the host's memory (virtio 1.2 §5.5.6.7)."""

    queue = 2
    queues = (0, 1, 2)
    features = 1 << 5  # VIRTIO_BALLOON_F_PAGE_REPORTING

    def arguments(self, suffix):
        words = super().arguments(suffix)
        return [*words[:-1], words[-1] + ",free-page-reporting=true"]

    def parts(self, vm, at=BUFFERS):
        vm.write(0x3000000, b"gone")
        return [(0x3000000, 4096, True)]


class BalloonStats(Balloon):
    """The queue of statistics: the device keeps one buffer until it asks for the next (virtio 1.2 §5.5.6.3)."""

    queue = 2
    queues = (0, 1, 2)
    features = 1 << 1  # VIRTIO_BALLOON_F_STATS_VQ

    def arguments(self, suffix):
        words = super().arguments(suffix)
        return [*words[:-1], words[-1] + ",stats-interval=1"]

    def provoke(self, bench, count):
        bench.vm.clock_step(1_000_000_000)

    def parts(self, vm, at=BUFFERS):
        vm.write(at, struct.pack("<HQ", 4, 1 << 20))  # free memory
        return [(at, 10, False)]

    def check(self, vm, length, at=BUFFERS):
        assert length == 0, f"the balloon says that it wrote {length} bytes"


class BalloonMessage(Balloon):
    """The queue by which StratoVirt's driver tells of what it does by itself."""

    queue = 2
    queues = (0, 1, 2)
    features = 1 << 16

    def arguments(self, suffix):
        words = super().arguments(suffix)
        return [*words[:-1], words[-1] + ",auto-balloon=true"]

    def parts(self, vm, at=BUFFERS):
        vm.write(at, bytes(8))
        return [(at, 8, False)]

    def check(self, vm, length, at=BUFFERS):
        assert length == 0, f"the balloon says that it wrote {length} bytes"


class Console(Device):
    id = 3
    queue = 1
    queues = (0, 1)

    def arguments(self, suffix):
        return ["-chardev", "file,id=c,path=SCRATCH/console", "-device", f"virtio-serial{suffix},id=s", "-device",
                "virtconsole,chardev=c,id=con"]

    def parts(self, vm, at=BUFFERS):
        (vm.scratch / "console").write_bytes(b"")
        vm.write(at, b"to the console")
        return [(at, 14, False)]

    def check(self, vm, length, at=BUFFERS):
        vm.wait_for(lambda: b"to the console" in (vm.scratch / "console").read_bytes(), "the console's text")
        assert length == 0, f"the console says that it wrote {length} bytes"


class ConsoleReceive(Console):
    """Its input, which the test types at the other end of a socket."""

    queue = 0

    def arguments(self, suffix):
        words = super().arguments(suffix)
        return ["-chardev", "socket,id=c,path=SCRATCH/line,server,nowait", *words[2:]]

    def before(self, bench, rings):
        vm = bench.vm
        if not hasattr(vm, "line"):
            vm.line = socket.socket(socket.AF_UNIX)
            vm.line.connect(str(vm.scratch / "line"))
            vm.line.setblocking(False)

    def provoke(self, bench, count):
        with contextlib.suppress(BlockingIOError):
            bench.vm.line.send(b"typed" * count)

    def parts(self, vm, at=BUFFERS):
        vm.write(at, bytes(5))
        return [(at, 5, True)]

    def check(self, vm, length, at=BUFFERS):
        assert 0 < length <= 5 and not vm.read(at, length).strip(b"typed"), f"{vm.read(at, 5)} was typed"


class ConsoleControl(Console):
    """What the driver tells of its ports (virtio 1.2 §5.3.6.2)."""

    queue = 3
    queues = (0, 1, 2, 3)
    features = 1 << 1  # VIRTIO_CONSOLE_F_MULTIPORT

    def parts(self, vm, at=BUFFERS):
        vm.write(at, struct.pack("<IHH", 0, 6, 1))  # PORT_OPEN
        return [(at, 8, False)]

    def check(self, vm, length, at=BUFFERS):
        assert length == 0, f"the console says that it wrote {length} bytes"


class SerialPort(Console):
    """A port that is no console: the driver has opened it (virtio 1.2 §5.3.6.2)."""

    queue = 5
    queues = (0, 1, 2, 3, 4, 5)
    features = 1 << 1  # VIRTIO_CONSOLE_F_MULTIPORT
    MESSAGES = BUFFERS + 0x20000

    def arguments(self, suffix):
        words = super().arguments(suffix)
        return [*words[:-1], words[-1].replace("virtconsole", "virtserialport")]

    def before(self, bench, rings):
        super().before(bench, rings)
        telling = rings[3]
        for message in ((0xffffffff, 0, 1), (1, 3, 1), (1, 6, 1)):  # DEVICE_READY, PORT_READY, PORT_OPEN
            bench.vm.write(self.MESSAGES, struct.pack("<IHH", *message))
            telling.offer(telling.chain([(self.MESSAGES, 8, False)]))
            bench.transport.notify(3)
            telling.wait()


class SerialPortReceive(SerialPort, ConsoleReceive):
    """Its input."""

    queue = 4


class ConsoleControlReceive(SerialPort):
    """What the device tells of its ports: at first that there is one and its name, then of who comes to its socket and
    leaves it."""

    queue = 2
    slow = True

    def arguments(self, suffix):
        return ["-chardev", "socket,id=c,path=SCRATCH/line,server,nowait", *super().arguments(suffix)[2:]]

    def provoke(self, bench, count):
        vm, ring = bench.vm, bench.transport.rings[self.queue]

        def taken():
            return ring.used_index() == ring.next or not bench.transport.works()

        while True:
            before = ring.used_index()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(vm.scratch / "line"))
                vm.wait_for(lambda seen=before: ring.used_index() != seen or taken(), "word of the port")
            if taken():
                return

    def parts(self, vm, at=BUFFERS):
        vm.write(at, bytes(64))
        return [(at, 64, True)]

    def check(self, vm, length, at=BUFFERS):
        port, event, _ = struct.unpack("<IHH", vm.read(at, 8))
        assert (port, length >= 8) == (1, True) and event in (1, 6, 7), f"{length} bytes of port {port}, event {event}"


class Net(Device):
    """Behind it passt, which needs no privilege."""

    id = 1
    offers = INDIRECT_DESC | EVENT_IDX
    queue = 1
    queues = (0, 1)
    MAC = bytes.fromhex("525400123456")

    def arguments(self, suffix):
        return ["-netdev", "user,id=n", "-device", f"virtio-net{suffix},netdev=n,id=n,mac=52:54:00:12:34:56"]

    def frame(self):
        """Who has 10.0.2.2? A question that passt answers."""
        arp = struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, self.MAC, bytes([10, 0, 2, 15]), bytes(6),
                          bytes([10, 0, 2, 2]))
        return (b"\xff" * 6 + self.MAC + b"\x08\x06" + arp).ljust(60, b"\0")

    def parts(self, vm, at=BUFFERS):
        data = bytes(12) + self.frame()
        vm.write(at, data)
        return [(at, 12, False), (at + 12, len(data) - 12, False)]

    def check(self, vm, length, at=BUFFERS):
        assert length == 0, f"the network device says that it wrote {length} bytes into what it sends"


class NetReceive(Net):
    """Each question that is sent gets its answer here."""

    queue = 0

    def before(self, bench, rings):
        bench.vm.write(BUFFERS + 0x10000, bytes(12) + self.frame())
        rings[1].set_heads(rings[1].chain([(BUFFERS + 0x10000, 72, False)]))
        rings[1].set_flags(NO_INTERRUPT)
        rings[1].set_used_event(0x8000)

    def provoke(self, bench, count):
        sending = bench.transport.rings[1]
        for most in [sending.size] * (count // sending.size) + [count % sending.size]:
            sending.advance(most)
            sending.set_used_event(sending.next + 0x4000)
            bench.transport.notify(1)
            bench.vm.wait_for(lambda: sending.used_index() == sending.next or not bench.transport.works(), "the questions")

    def parts(self, vm, at=BUFFERS):
        vm.write(at, bytes(2048))
        return [(at, 2048, True)]

    def check(self, vm, length, at=BUFFERS):
        assert vm.read(at + 12, 6) == self.MAC, f"the frame that came is {vm.read(at, 64).hex()}"
        assert length == 12 + 42, f"the network device says that it wrote {length} bytes"


class NetControl(Net):
    """Commands (virtio 1.2 §5.1.6.5)."""

    queue = 2
    queues = (0, 1, 2)
    features = 1 << 17 | 1 << 18  # VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_RX

    def parts(self, vm, at=BUFFERS):
        vm.write(at, b"\x01\x00" + bytes(8))  # a table of no addresses
        vm.writeb(at + 0x1000, 0xff)
        return [(at, 10, False), (at + 0x1000, 1, True)]

    def check(self, vm, length, at=BUFFERS):
        assert vm.readb(at + 0x1000) == 0, f"the command's answer is {vm.readb(at + 0x1000)}"
        assert length == 1, f"the network device says that it wrote {length} bytes"


class Fs(Device):
    """Behind it a peer of ours, in place of virtiofsd."""

    id = 26
    offers = INDIRECT_DESC | EVENT_IDX
    queue = 1
    queues = (0, 1)
    machine = ",mem-share=on"
    walks_its_rings = False
    TAG = "a-share"

    def prepare(self, scratch):
        self.peer = Peer(scratch / "fs")

    def end(self):
        self.peer.close()

    def arguments(self, suffix):
        return ["-chardev", "socket,id=c,path=SCRATCH/fs", "-device",
                f"vhost-user-fs{suffix},chardev=c,tag={self.TAG},id=fs"]

    def parts(self, vm, at=BUFFERS):
        vm.write(at, b"what is asked")
        vm.write(at + 0x1000, bytes(64))
        return [(at, 13, False), (at + 0x1000, 64, True)]

    def check(self, vm, length, at=BUFFERS):
        assert vm.read(at + 0x1000, 14) == b"deksa si tahw\0", "the answer of the peer is wrong"
        assert length == 13, f"the peer wrote 13 bytes, and {length} are told"


class Vsock(Device):
    """Behind it fake_vhost.c in place of the kernel; a packet that the guest sends comes back."""

    id = 19
    offers = INDIRECT_DESC | EVENT_IDX
    queue = 1
    queues = (0, 1, 2)
    walks_its_rings = False
    preload = "libfake_vhost.so"
    CID = 5
    ROOM = BUFFERS + 0x8000  # for what is received

    def arguments(self, suffix):
        # What is preloaded makes system calls of its own.
        return ["-disable-seccomp", "-device", f"vhost-vsock{suffix},guest-cid={self.CID},id=vsock"]

    def packet(self, data=b"to the host"):
        return struct.pack("<QQIIIHHIII", self.CID, 2, 1024, 4321, len(data), 1, 5, 0, 4096, 0) + data

    def parts(self, vm, at=BUFFERS):
        vm.write(self.ROOM, bytes(256))
        vm.write(at, self.packet())
        return [(at, 44, False), (at + 44, 11, False)]

    def before(self, bench, rings):
        rings[0].set_heads(rings[0].chain([(self.ROOM, 256, True)]))
        rings[0].set_flags(NO_INTERRUPT)
        rings[0].set_used_event(0x8000)

    def provoke(self, bench, count):
        """A packet comes back when there is room for it."""
        receiving = bench.transport.rings[0]
        for most in [receiving.size] * (count // receiving.size) + [count % receiving.size]:
            bench.vm.wait_for(lambda: receiving.used_index() == receiving.next, "the packets before")
            receiving.advance(most)
            bench.transport.notify(0)

    def check(self, vm, length, at=BUFFERS):
        assert length == 0, f"{length} bytes were written into what the guest sends"
        want = struct.pack("<QQ", 2, self.CID) + self.packet()[16:]
        vm.wait_for(lambda: vm.read(self.ROOM, len(want)) == want, "the packet that comes back")


def on_iothread(base, *drive):
    """The same device served by a thread of its own, and its drive with these properties."""
    class OnIothread(base):
        def arguments(self, suffix):
            first, back_end, *rest = super().arguments(suffix)
            return ["-object", "iothread,id=t", first, ",".join((back_end, *drive)), *rest[:-1], rest[-1] + ",iothread=t"]
    return OnIothread


ALL = {"blk": Disk(), "rng": Rng(), "balloon": Balloon(), "console": Console(), "net": Net(), "fs": Fs(), "vsock": Vsock()}

# The same served in other ways
WAYS = {"blk-iothread": on_iothread(Disk)(), "blk-uring": on_iothread(Disk, "aio=io_uring")(),
        "net-iothread": on_iothread(Net)()}

# Queues besides, each with the cases of every device
QUEUES = {"blk-mq": DiskQueue(), "balloon-deflate": BalloonDeflate(), "balloon-stats": BalloonStats(),
          "balloon-reporting": BalloonReporting(), "balloon-message": BalloonMessage(),
          "console-receive": ConsoleReceive(), "console-control": ConsoleControl(),
          "console-control-receive": ConsoleControlReceive(), "console-port": SerialPort(),
          "console-port-receive": SerialPortReceive(), "net-receive": NetReceive(), "net-control": NetControl()}
