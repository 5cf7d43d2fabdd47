"""A vhost-vsock device, its rings walked in place of the kernel by fake_vhost.c."""

import os
import struct

import qtest
from bench import case, check
from devices import BUFFERS
from virtio import EVENT_IDX, NEEDS_RESET, VERSION_1


@case
def configuration(bench):
    check(bench.transport.config_load(0, 4) == bench.device.CID and bench.transport.config_load(4, 4) == 0, "guest_cid")
    bench.transport.config_store(0, 4, 9)
    check(bench.transport.config_load(0, 4) == bench.device.CID, "guest_cid was written")


@case
def both_rings_have_their_interrupts(bench):
    rings = bench.transport.start(VERSION_1, bench.device.queues)
    bench.quiet()
    rings[1].offer(rings[1].chain(bench.device.parts(bench.vm)))
    rings[0].offer(rings[0].chain([(bench.device.ROOM, 256, True)]))
    bench.transport.notify(1)
    rings[1].wait()
    _, length = rings[0].wait()
    check(length == 55, f"{length} bytes were received")
    if bench.transport.source(0) == bench.transport.source(1):  # one line for all
        bench.vm.wait_for(lambda: bench.transport.took_interrupt(0), "the interrupt")
    else:
        for queue in (0, 1):
            bench.vm.wait_for(lambda number=queue: bench.transport.took_interrupt(number), f"queue {queue}'s interrupt")
        check(not bench.transport.took_interrupt(2), "the event queue has interrupted")


@case
def events_reach_the_kernel(bench):
    """The rings' features that the driver accepts are told, and who walks the rings keeps to them."""
    ring = bench.start(VERSION_1 | EVENT_IDX)
    ring.set_used_event(2)
    for number, interrupt in enumerate((True, False, True, False)):  # the first always comes
        bench.serve(ring, interrupt=interrupt, what=f"at {number} with the used event 2")
    bench.vm.wait_for(lambda: ring.avail_event() == ring.next, "the wish for a kick at the next request")
    ring = bench.start(VERSION_1)
    for _ in range(2):
        bench.serve(ring, what="after a driver that used events")
    check(ring.avail_event() == 0, "the kernel uses events that this driver did not accept")


@case
def packets_wait_for_room(bench):
    rings = bench.transport.start(VERSION_1, bench.device.queues)
    for number in range(4):
        bench.vm.write(BUFFERS + 0x100 * number, bench.device.packet(struct.pack("<I", number)))
        rings[1].offer(rings[1].chain([(BUFFERS + 0x100 * number, 48, False)], number))
    bench.transport.notify(1)
    bench.vm.settle()
    check(rings[1].used_index() == 0, "a packet was taken that nobody can receive")
    for number in range(4):
        rings[0].offer(rings[0].chain([(bench.device.ROOM + 0x100 * number, 44, True),
                                       (bench.device.ROOM + 0x1000 + number, 1, True)], 2 * number))
    bench.transport.notify(0)
    for number in range(4):
        head, length = rings[0].wait()
        check((head, length) == (2 * number, 45), f"descriptor {head} was used for {length} bytes")
        check(bench.vm.readb(bench.device.ROOM + 0x1000 + number) == number, "a packet came in the place of another")


@case
def broken_ring_is_told(bench):
    """The error descriptor of a ring: the device asks for a reset and interrupts for it, and works after that."""
    ring = bench.start()
    ring.offer(ring.chain([(1 << 40, 64, False)]))
    bench.kick()
    bench.vm.wait_for(lambda: bench.transport.status() & NEEDS_RESET, "NEEDS_RESET")
    bench.vm.wait_for(bench.transport.took_config_interrupt, "the configuration interrupt")
    bench.serve(bench.start(), what="after a broken ring")
    bench.vm.settle()
    check(not bench.transport.status() & NEEDS_RESET, "the next driver is told of a ring that the one before has broken")


@case
def next_driver_begins_anew(bench):
    """A reset takes the rings back from whoever walks them."""
    for _ in range(3):
        bench.serve(bench.start())
        bench.transport.reset()


@case
def what_cannot_be_had(bench):
    """An address that another virtual machine has, or none may have; a second device; the kernel's device where there is
    none: each is refused in a sentence."""
    nacre, plugins, *_ = bench.made_of
    one = ["-device", "vhost-vsock-device,guest-cid=5,id=v"]
    refused = [(["-device", "vhost-vsock-device,guest-cid=77,id=v"], bench.preload, "is used by another virtual machine"),
               (["-device", "vhost-vsock-device,guest-cid=2,id=v"], bench.preload, "guest-cid"),
               ([*one, "-device", "vhost-vsock-device,guest-cid=6,id=w"], bench.preload, "a virtual machine has one")]
    if not os.path.exists("/dev/vhost-vsock"):
        refused.append((one, None, "load the kernel module vhost_vsock"))
    for words, preload, sentence in refused:
        try:
            qtest.Machine(nacre, plugins, ["-disable-seccomp", "-machine", "microvm", *words], preload=preload).close()
        except qtest.Failure as failure:
            check(sentence in str(failure), f"{words} is refused with: {failure}")
        else:
            raise AssertionError(f"{words} is taken")
