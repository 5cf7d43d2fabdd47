"""The other end of a vhost-user socket, as virtiofsd is one: it agrees to everything, and answers each request with its
bytes in the opposite order."""

import mmap
import os
import selectors
import socket
import struct
import threading

from ring import INDIRECT, NEXT, WRITE

(GET_FEATURES, SET_FEATURES, SET_OWNER, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, GET_VRING_BASE,
 SET_VRING_KICK, SET_VRING_CALL, GET_PROTOCOL_FEATURES, SET_PROTOCOL_FEATURES, GET_QUEUE_NUM, SET_VRING_ENABLE) = (
    1, 2, 3, 5, 8, 9, 10, 11, 12, 13, 15, 16, 17, 18)
FEATURES = 1 << 28 | 1 << 29 | 1 << 30 | 1 << 32
PROTOCOL_FEATURES = 1 | 1 << 3  # several queues, replies
REPLY, NEED_REPLY = 4, 8


class Ring:
    def __init__(self):
        self.size = self.seen = 0
        self.desc = self.avail = self.used = 0
        self.kick = self.call = -1
        self.enabled = False


class Peer:
    """Serves one connection after another at the path, on a thread of its own, until close()."""

    def __init__(self, path):
        self.messages = []  # the requests' numbers, as they came
        self.features = 0   # as they were accepted
        self.rings = {}
        self._regions = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._client = None
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        os.write(self._woken, b"x")
        self._thread.join()

    def _serve(self):
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._drop()
                    self._listener.close()
                    return
                if key.fileobj in self._selector.get_map():
                    key.data()

    def _accept(self):
        self._client, _ = self._listener.accept()
        self._selector.register(self._client, selectors.EVENT_READ, self._on_message)

    def _drop(self):
        if self._client is None:
            return
        self._selector.unregister(self._client)
        self._client.close()
        self._client = None
        for ring in self.rings.values():
            self._stop(ring)
        self.rings.clear()
        self._regions.clear()

    def _stop(self, ring):
        if ring.kick >= 0:
            self._selector.unregister(ring.kick)
        for fd in (ring.kick, ring.call):
            if fd >= 0:
                os.close(fd)
        ring.kick = ring.call = -1

    def _on_message(self):
        head, fds, _, _ = socket.recv_fds(self._client, 12, 8)
        if len(head) < 12:
            return self._drop()
        request, flags, size = struct.unpack("<III", head)
        payload = self._client.recv(size, socket.MSG_WAITALL) if size else b""
        self.messages.append(request)
        answer = self._carry_out(request, payload, fds)
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            self._client.sendall(struct.pack("<III", request, 1 | REPLY, len(answer)) + answer)

    def _carry_out(self, request, payload, fds):
        number = struct.unpack("<Q", payload)[0] if len(payload) == 8 else 0
        index, value = number & 0xff, number >> 32
        if request in (SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE, SET_VRING_KICK, SET_VRING_CALL,
                       SET_VRING_ENABLE, GET_VRING_BASE):
            ring = self.rings.setdefault(index if len(payload) == 8 else struct.unpack_from("<I", payload)[0], Ring())
        if request == GET_FEATURES:
            return struct.pack("<Q", FEATURES)
        if request == GET_PROTOCOL_FEATURES:
            return struct.pack("<Q", PROTOCOL_FEATURES)
        if request == GET_QUEUE_NUM:
            return struct.pack("<Q", 8)
        if request == SET_FEATURES:
            self.features = number
        elif request == SET_MEM_TABLE:
            self._regions = []
            for at, fd in enumerate(fds):
                gpa, length, user, offset = struct.unpack_from("<QQQQ", payload, 8 + 32 * at)
                self._regions.append((gpa, user, length, mmap.mmap(fd, length, offset=offset)))
                os.close(fd)
        elif request == SET_VRING_NUM:
            ring.size = value
        elif request == SET_VRING_ADDR:
            _, _, ring.desc, ring.used, ring.avail, _ = struct.unpack("<IIQQQQ", payload)
        elif request == SET_VRING_BASE:
            ring.seen = value
        elif request == SET_VRING_ENABLE:
            ring.enabled = bool(value)
            self._walk(ring)
        elif request == SET_VRING_CALL:
            if ring.call >= 0:
                os.close(ring.call)
            ring.call = fds[0] if fds else -1
        elif request == SET_VRING_KICK:
            ring.kick = fds[0]
            self._selector.register(ring.kick, selectors.EVENT_READ, lambda: self._on_kick(ring))
        elif request == GET_VRING_BASE:
            self._stop(ring)
            return struct.pack("<II", index, ring.seen)
        return None

    def _on_kick(self, ring):
        os.read(ring.kick, 8)
        self._walk(ring)

    def _at(self, address, length, user=False):
        for gpa, theirs, size, mapping in self._regions:
            begin = theirs if user else gpa
            if begin <= address and address + length <= begin + size:
                return mapping, address - begin
        raise ValueError(f"{address:#x} is no memory")

    def _get(self, layout, address, user=True):
        mapping, at = self._at(address, struct.calcsize(layout), user)
        return struct.unpack_from(layout, mapping, at)

    def _put(self, layout, address, *values):
        mapping, at = self._at(address, struct.calcsize(layout), True)
        struct.pack_into(layout, mapping, at, *values)

    def _walk(self, ring):
        """A request that is wrong ends the connection, as another process that has ended would."""
        if not ring.enabled or ring.kick < 0:
            return
        try:
            any_used = False
            while ring.seen != self._get("<H", ring.avail + 2)[0]:
                head, = self._get("<H", ring.avail + 4 + 2 * (ring.seen % ring.size))
                written = self._answer(ring, head)
                at = self._get("<H", ring.used + 2)[0]
                self._put("<II", ring.used + 4 + 8 * (at % ring.size), head, written)
                self._put("<H", ring.used + 2, at + 1 & 0xffff)
                ring.seen = ring.seen + 1 & 0xffff
                any_used = True
            if any_used and ring.call >= 0 and not self._get("<H", ring.avail)[0] & 1:
                os.eventfd_write(ring.call, 1)
        except ValueError:
            self._drop()

    def _answer(self, ring, index):
        asked, written = b"", 0
        table, user = ring.desc, True
        for _ in range(ring.size):
            address, length, flags, after = self._get("<QIHH", table + 16 * index, user)
            if flags & INDIRECT:
                table, user, index = address, False, 0
                continue
            mapping, at = self._at(address, length)
            if flags & WRITE:
                part = asked[::-1][written:written + length]
                mapping[at:at + len(part)] = part
                written += len(part)
            else:
                asked += mapping[at:at + length]
            if not flags & NEXT:
                return written
            index = after
        raise ValueError("a chain without end")
