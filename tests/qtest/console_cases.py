"""What only a console does (virtio 1.2 §5.3)."""

from bench import case, check
from devices import BUFFERS


@case
def text_in_many_parts(bench):
    ring = bench.start()
    (bench.vm.scratch / "console").write_bytes(b"")
    words = [b"many ", b"", b"parts, ", b"one line"]
    parts = []
    for number, word in enumerate(words):
        if word:
            bench.vm.write(BUFFERS + 0x100 * number, word)
            parts.append((BUFFERS + 0x100 * number, len(word), False))
    ring.offer(ring.chain(parts))
    bench.transport.notify(1)
    ring.wait()
    bench.vm.wait_for(lambda: b"many parts, one line" in (bench.vm.scratch / "console").read_bytes(), "the text")


@case
def long_text(bench):
    ring = bench.start()
    (bench.vm.scratch / "console").write_bytes(b"")
    bench.vm.write(BUFFERS, b"x" * 300000)
    ring.offer(ring.chain([(BUFFERS, 300000, False)]))
    bench.transport.notify(1)
    ring.wait()
    bench.vm.wait_for(lambda: (bench.vm.scratch / "console").read_bytes().count(b"x") == 300000, "all of a long text")


@case
def receive_buffers_wait(bench):
    receiving, _ = bench.transport.start(queues=(0, 1))
    receiving.offer(receiving.chain([(BUFFERS, 64, True)]))
    bench.transport.notify(0)
    bench.vm.settle()
    check(receiving.used_index() == 0, "a console without input used a receive buffer")
