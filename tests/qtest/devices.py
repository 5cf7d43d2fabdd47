"""The devices of the suites: how each is given to a machine, and one request that it must serve."""

import struct

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
    walks_its_rings = True  # else another process does, and what a ring does wrong is that one's affair

    preload = None          # a library of the build's tests/qtest that the machine is started with

    def before(self, vm, rings):
        """What the driver gives the device before its first request."""

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

    def arguments(self, suffix):
        return ["-device", f"virtio-balloon{suffix},id=balloon,statistics=on"]

    def parts(self, vm, at=BUFFERS):
        vm.write(0x3000000, b"gone")
        vm.writel(at, 0x3000000 >> 12)
        return [(at, 4, False)]

    def check(self, vm, length, at=BUFFERS):
        assert vm.read(0x3000000, 4) == bytes(4), "the balloon has not taken the page"
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
        vm.write(at, self.packet())
        return [(at, 44, False), (at + 44, 11, False)]

    def before(self, vm, rings):
        vm.write(self.ROOM, bytes(256))
        rings[0].offer(rings[0].chain([(self.ROOM, 256, True)]))

    def check(self, vm, length, at=BUFFERS):
        assert length == 0, f"{length} bytes were written into what the guest sends"
        want = struct.pack("<QQ", 2, self.CID) + self.packet()[16:]
        vm.wait_for(lambda: vm.read(self.ROOM, len(want)) == want, "the packet that comes back")


ALL = {"blk": Disk(), "rng": Rng(), "balloon": Balloon(), "console": Console(), "net": Net(), "fs": Fs(), "vsock": Vsock()}
