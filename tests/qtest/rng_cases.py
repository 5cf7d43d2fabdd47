"""What only a source of random numbers does."""

from bench import case, check


@case
def large_and_small_buffers(bench):
    ring = bench.start()
    for length in (1, 2, 4096, 65536):
        bench.vm.write(0x2200000, bytes(length))
        ring.offer(ring.chain([(0x2200000, length, True)]))
        bench.transport.notify(0)
        _, written = ring.wait()
        check(0 < written <= length, f"{written} bytes came into {length}")


@case
def many_parts(bench):
    ring = bench.start()
    parts = [(0x2200000 + 0x1000 * part, 16, True) for part in range(8)]
    ring.offer(ring.chain(parts))
    bench.transport.notify(0)
    check(ring.wait()[1] <= 128, "more bytes came than there was room for")
