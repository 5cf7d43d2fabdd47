"""A disk image that fails, is full, is slow or forgets, as a test tells it.

    disk = FaultDisk(scratch / "disk", 1 << 20)     # a file at that path, served by a thread of this process (FUSE)
    disk.fail["write"] = errno.ENOSPC               # every write, until it is taken out again
    disk.hold("read"); disk.waiting("read"); disk.release()
    disk.safe                                       # what has been flushed: what is left after a power failure

Every request of a program reaches it, past the page cache, whichever way it is made: system calls, io_uring, O_DIRECT.
The thread must get on, so nobody in this process may touch the file itself. Needs root, and a mount namespace of its own.
"""

import collections
import ctypes
import errno
import functools
import os
import pathlib
import struct
import tempfile
import threading

CLONE_NEWNS, MS_REC_PRIVATE, MNT_DETACH = 0x20000, 0x44000, 2
# linux/fuse.h
LOOKUP, FORGET, GETATTR, SETATTR, OPEN, READ, WRITE, RELEASE, FSYNC, FLUSH = 1, 2, 3, 4, 14, 15, 16, 18, 20, 25
INIT, INTERRUPT, FALLOCATE, BATCH_FORGET = 26, 36, 43, 42
NAMES = {READ: "read", WRITE: "write", FSYNC: "flush", FALLOCATE: "discard"}
IN_HEADER = struct.Struct("<IIQQIIII")
ASYNC_READ, BIG_WRITES, ASYNC_DIO = 1 << 0, 1 << 5, 1 << 15
DIRECT_IO, PARALLEL_DIRECT_WRITES = 1 << 0, 1 << 6
MAX_WRITE = 128 << 10
PUNCH_HOLE, ZERO_RANGE = 2, 0x10

_libc = ctypes.CDLL(None, use_errno=True)


@functools.cache
def _own_mounts():
    """Mounts of this process are its own from now on, and go with it. Returns an errno, 0 where that is so."""
    failed = _libc.unshare(CLONE_NEWNS) or _libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None)
    return ctypes.get_errno() if failed else 0


def possible():
    """Whether this machine lets us mount such a file."""
    with tempfile.TemporaryDirectory(prefix="nacre-fuse-") as name:
        try:
            FaultDisk(pathlib.Path(name) / "disk", 4096).close()
            return True
        except OSError:
            return False


class FaultDisk:
    def __init__(self, path, size, asynchronous=False):
        """`asynchronous`: io_uring does not wait for O_DIRECT requests where it submits them. A write that is cut short
        is an EIO then: both are ways of the kernel."""
        self.path = path
        self._flags = ASYNC_READ | BIG_WRITES | (ASYNC_DIO if asynchronous else 0)
        self.data, self.safe = bytearray(size), bytearray(size)
        self.fail = {}  # kind of request -> errno
        self.interrupts = {}  # kind of request -> how many of them end with EINTR
        self.most = {}  # kind of request -> bytes that one moves at most
        self.room = None  # bytes that may still be written; None: no limit
        self.counts = collections.Counter()  # requests by kind
        self.faults = collections.Counter()  # those that failed, were cut short or were held back
        self._held, self._waiting = set(), []
        self._lock = threading.Lock()
        if error := _own_mounts():
            raise OSError(error, f"no mounts of our own: {os.strerror(error)}")
        path.touch()
        self._fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._fd},rootmode=100644,user_id=0,group_id=0,allow_other"
        if _libc.mount(b"faults", bytes(path), b"fuse", 0, options.encode()):
            raise OSError(ctypes.get_errno(), "FUSE cannot be mounted")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def hold(self, kind):
        """Requests of that kind wait from now on."""
        with self._lock:
            self._held.add(kind)

    def waiting(self, kind):
        with self._lock:
            return sum(name == kind for name, _, _, _ in self._waiting)

    def release(self):
        """Whatever waits goes on."""
        with self._lock:
            self._held.clear()
            waiting, self._waiting = self._waiting, []
        for _, unique, opcode, body in waiting:
            self._answer(unique, *self._done(opcode, body))

    def vanish(self):
        """The connection breaks: every request fails from now on."""
        self.faults["vanished"] += 1
        self._disconnect()

    def _disconnect(self):
        with self._lock:
            fd, self._fd = self._fd, None
            if fd is not None:
                _libc.umount2(bytes(self.path), MNT_DETACH | 1)  # MNT_FORCE aborts what is under way
        self._thread.join(5)
        if fd is not None:
            os.close(fd)

    def close(self):
        self.release()
        self._disconnect()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _serve(self):
        fd = self._fd
        while True:
            try:
                request = os.read(fd, MAX_WRITE + 4096)
            except OSError as error:
                if error.errno in (errno.EINTR, errno.ENOENT, errno.EAGAIN):
                    continue
                return  # unmounted
            _, opcode, unique, *_ = IN_HEADER.unpack_from(request)
            if opcode in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            body, name = request[IN_HEADER.size:], NAMES.get(opcode)
            with self._lock:
                if name:
                    self.counts[name] += 1
                if name in self._held:
                    self.faults[f"{name} held back"] += 1
                    self._waiting.append((name, unique, opcode, body))
                    continue
            self._answer(unique, *self._done(opcode, body))

    def _answer(self, unique, error, data=b""):
        try:
            os.write(self._fd, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
        except (OSError, TypeError):
            pass  # who asked is gone, or the disk

    def _attributes(self):
        size = len(self.data)
        return struct.pack("<QII", 0, 0, 0) + struct.pack("<6Q10I", 1, size, size // 512, 0, 0, 0, 0, 0, 0, 0o100644, 1,
                                                          0, 0, 0, 4096, 0)

    def _done(self, opcode, body):
        """Carries a request out; (errno, answer)."""
        if opcode == INIT:
            return 0, struct.pack("<IIIIHHIIHHI7I", 7, 31, MAX_WRITE, self._flags, 64, 48,
                                  MAX_WRITE, 1, 0, 0, 0, *[0] * 7)
        if opcode in (GETATTR, SETATTR):
            return 0, self._attributes()
        if opcode == OPEN:
            return 0, struct.pack("<QII", 1, DIRECT_IO | PARALLEL_DIRECT_WRITES, 0)
        if opcode in (RELEASE, FLUSH):
            return 0, b""
        if opcode not in NAMES:
            return errno.ENOSYS, b""
        name = NAMES[opcode]
        if name in self.fail:
            self.faults[f"{name}: {errno.errorcode[self.fail[name]]}"] += 1
            return self.fail[name], b""
        if self.interrupts.get(name):
            self.interrupts[name] -= 1
            self.faults[f"{name}: EINTR"] += 1
            return errno.EINTR, b""
        if opcode == READ:
            _, offset, size = struct.unpack_from("<QQI", body)
            return 0, bytes(self.data[offset:offset + self._part(name, size)])
        if opcode == WRITE:
            return self._write(name, body)
        if opcode == FALLOCATE:
            _, offset, length, mode = struct.unpack_from("<QQQI", body)
            if not mode & (PUNCH_HOLE | ZERO_RANGE):
                return errno.EOPNOTSUPP, b""
            self.data[offset:offset + length] = bytes(length)
            return 0, b""
        self.safe[:] = self.data  # FSYNC
        return 0, b""

    def _part(self, name, size):
        if size <= self.most.get(name, size):
            return size
        self.faults[f"{name} cut short"] += 1
        return self.most[name]

    def _write(self, name, body):
        _, offset, size = struct.unpack_from("<QQI", body)
        size = self._part(name, size)
        if self.room is not None:
            if self.room == 0:
                self.faults["disk full"] += 1
                return errno.ENOSPC, b""
            size = min(size, self.room)
            self.room -= size
        self.data[offset:offset + size] = body[40:40 + size]
        return 0, struct.pack("<II", size, 0)
