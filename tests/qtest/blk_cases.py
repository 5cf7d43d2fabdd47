"""What only a disk does (virtio 1.2 §5.2)."""

import struct

from bench import case, check
from devices import BUFFERS, CONTENT

READ, WRITE, FLUSH, GET_ID, DISCARD, WRITE_ZEROES = 0, 1, 4, 8, 11, 13
OK, IOERR, UNSUPP = 0, 1, 2
F_RO, F_FLUSH, F_DISCARD, F_WRITE_ZEROES = 1 << 5, 1 << 9, 1 << 13, 1 << 14
SECTORS = len(CONTENT) // 512


def request(bench, ring, kind, sector, data=b"", room=0):
    """One request with these bytes in it, or with room for others; its status and what came."""
    vm = bench.vm
    vm.write(BUFFERS, struct.pack("<IIQ", kind, 0, sector))
    vm.writeb(BUFFERS + 0x2000, 0xff)
    parts = [(BUFFERS, 16, False)]
    if data:
        vm.write(BUFFERS + 0x10000, data)
        parts.append((BUFFERS + 0x10000, len(data), False))
    if room:
        parts.append((BUFFERS + 0x10000, room, True))
    ring.offer(ring.chain([*parts, (BUFFERS + 0x2000, 1, True)]))
    bench.transport.notify(0)
    ring.wait()
    return vm.readb(BUFFERS + 0x2000), vm.read(BUFFERS + 0x10000, room) if room else b""


@case
def capacity_and_reads(bench):
    check(bench.transport.config_load(0, 8) == SECTORS, "the capacity is not the file's")
    ring = bench.start()
    for sector, count in ((0, 1), (SECTORS - 1, 1), (5, 20), (0, SECTORS)):
        status, data = request(bench, ring, READ, sector, room=count * 512)
        check((status, data) == (OK, CONTENT[sector * 512:(sector + count) * 512]), f"sector {sector} reads wrongly")


@case
def beyond_the_end(bench):
    ring = bench.start()
    for kind in (READ, WRITE):
        for sector, count in ((SECTORS, 1), (SECTORS - 1, 2), ((1 << 55) - 1, 1), ((1 << 64) - 1, 1)):
            how = {"room": count * 512} if kind == READ else {"data": bytes(count * 512)}
            status, _ = request(bench, ring, kind, sector, **how)
            check(status == IOERR, f"request {kind} of sector {sector:#x} has status {status}")


@case
def lengths_that_are_no_sectors(bench):
    ring = bench.start()
    for count in (1, 511, 513):
        for how in ({"room": count}, {"data": bytes(count)}):
            status, _ = request(bench, ring, WRITE if "data" in how else READ, 1, **how)
            check(status != OK, f"a request of {count} bytes has succeeded")


@case
def row_36_requests_of_every_kind(bench):
    ring = bench.start()
    for kind in (2, 3, 5, 6, 7, 9, 10, 12, 14, 0xffffffff):
        status, _ = request(bench, ring, kind, 0, room=512)
        check(status == UNSUPP, f"a request of kind {kind} has status {status}, not UNSUPP")


@case
def written_bytes_are_read_back(bench):
    ring = bench.start()
    status, _ = request(bench, ring, WRITE, 3, data=b"n" * 512)
    check(status == OK, "a write failed")
    check(request(bench, ring, FLUSH, 0)[0] == OK, "a flush failed")
    check((bench.vm.scratch / "disk").read_bytes()[3 * 512:4 * 512] == b"n" * 512, "the file has not got the bytes")
    check(request(bench, ring, READ, 3, room=512) == (OK, b"n" * 512), "the bytes are not read back")
    check(request(bench, ring, WRITE, 3, data=CONTENT[3 * 512:4 * 512])[0] == OK, "a write failed")


@case
def identity(bench):
    status, data = request(bench, bench.start(), GET_ID, 0, room=20)
    check((status, data.rstrip(b"\0")) == (OK, b"q1"), f"the serial number is {data}")


@case
def requests_without_status_or_head(bench):
    vm = bench.vm
    for parts in ([(BUFFERS, 16, False)], [(BUFFERS, 15, False), (BUFFERS + 0x2000, 1, True)],
                  [(BUFFERS + 0x2000, 1, True)], [(BUFFERS, 16, False), (BUFFERS + 0x1000, 512, False)]):
        ring = bench.start()
        vm.write(BUFFERS, struct.pack("<IIQ", READ, 0, 0))
        ring.offer(ring.chain(parts))
        bench.transport.notify(0)
        vm.settle()
        bench.must_work("after a request without its status or head")


@case
def head_in_pieces(bench):
    """A device makes no difference between one part and several (virtio 1.2 §2.6.4)."""
    ring = bench.start()
    bench.vm.write(BUFFERS, struct.pack("<IIQ", READ, 0, 2))
    ring.offer(ring.chain([(BUFFERS, 4, False), (BUFFERS + 4, 4, False), (BUFFERS + 8, 8, False),
                           (BUFFERS + 0x1000, 100, True), (BUFFERS + 0x1064, 412, True), (BUFFERS + 0x2000, 1, True)]))
    bench.transport.notify(0)
    ring.wait()
    check(bench.vm.read(BUFFERS + 0x1000, 512) == CONTENT[1024:1536], "a request in pieces reads wrongly")
