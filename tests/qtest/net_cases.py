"""What only a network device does (virtio 1.2 §5.1), with passt behind it."""

from bench import case, check
from devices import BUFFERS
from virtio import VERSION_1


@case
def address_and_link(bench):
    mac = bytes(bench.transport.config_load(offset, 1) for offset in range(6))
    check(mac == bench.device.MAC, f"the address is {mac.hex(':')}")


def ask(bench, rings, receive):
    """Sends the question who the gateway is; the answer's bytes."""
    receiving, sending = rings
    receiving.offer(receiving.chain(receive))
    bench.transport.notify(0)
    bench.serve(sending)
    receiving.wait()
    return b"".join(bench.vm.read(address, length) for address, length, _ in receive)


@case
def gateway_answers(bench):
    at = BUFFERS + 0x100000
    data = ask(bench, bench.transport.start(VERSION_1, (0, 1)), [(at, 2048, True)])
    check(data[12:18] == bench.device.MAC and data[24:26] == b"\x08\x06" and data[32:34] == b"\0\2",
          f"the answer is {data[:64].hex()}")


@case
def answer_in_pieces(bench):
    at = BUFFERS + 0x100000
    parts = [(at, 12, True), (at + 0x1000, 6, True), (at + 0x2000, 2048, True)]
    data = ask(bench, bench.transport.start(VERSION_1, (0, 1)), parts)
    check(data[12:18] == bench.device.MAC, f"the answer is {data[:64].hex()}")


@case
def receive_buffers_too_small(bench):
    for length in (1, 11, 12, 20):
        receiving, sending = bench.transport.start(VERSION_1, (0, 1))
        receiving.offer(receiving.chain([(BUFFERS + 0x100000, length, True)]))
        bench.transport.notify(0)
        bench.serve(sending)
        bench.vm.settle()
        bench.must_work(f"after a receive buffer of {length} bytes")


@case
def frames_of_any_length(bench):
    for length in (0, 1, 11, 12, 13, 26, 1514 + 12, 65550, 70000):
        ring = bench.start()
        bench.vm.write(BUFFERS, bytes(70000))
        if length:
            ring.offer(ring.chain([(BUFFERS, length, False)]))
            bench.transport.notify(1)
        bench.vm.settle()
        bench.must_work(f"after a frame of {length} bytes")
