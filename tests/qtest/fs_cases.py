"""A vhost-user-fs device, its rings walked by a peer."""

import vhost_user_peer as peer
from bench import case, check
from ring import NO_INTERRUPT
from virtio import EVENT_IDX, INDIRECT_DESC, NEEDS_RESET, VERSION_1


@case
def configuration(bench):
    text = bytes(bench.transport.config_load(offset, 1) for offset in range(36))
    check(text == bench.device.TAG.encode().ljust(36, b"\0"), f"the tag is {text}")
    check(bench.transport.config_load(36, 4) == 1, "the number of request queues")
    bench.transport.config_store(0, 1, 0x41)
    bench.transport.config_store(36, 4, 9)
    check(bench.transport.config_load(0, 1) == ord(bench.device.TAG[0]) and bench.transport.config_load(36, 4) == 1,
          "the configuration was written")


@case
def peer_is_told_what_the_driver_has_set(bench):
    ends = bench.device.peer
    del ends.messages[:]
    bench.start(VERSION_1 | EVENT_IDX)
    bench.vm.wait_for(lambda: ends.messages.count(peer.SET_VRING_ENABLE) == 2, "both rings")
    check(ends.features & (VERSION_1 | EVENT_IDX | INDIRECT_DESC) == VERSION_1 | EVENT_IDX,
          f"the peer was given features {ends.features:#x}")
    order = [ends.messages.index(which) for which in (peer.SET_FEATURES, peer.SET_MEM_TABLE, peer.SET_VRING_NUM,
                                                       peer.SET_VRING_KICK)]
    check(order == sorted(order), f"the order of what the peer was told is {ends.messages}")
    bench.transport.reset()
    check(ends.messages.count(peer.GET_VRING_BASE) == 2, "a reset has not stopped both rings")


@case
def each_queue_has_its_interrupt(bench):
    bench.start()
    for queue in (0, 1):
        rings = bench.transport.start(VERSION_1, (0, 1))
        bench.quiet()
        ring = rings[queue]
        ring.offer(ring.chain(bench.device.parts(bench.vm)))
        bench.transport.notify(queue)
        bench.device.check(bench.vm, ring.wait()[1])
        bench.vm.wait_for(lambda number=queue: bench.transport.took_interrupt(number), f"queue {queue}'s interrupt")
        bench.transport.acknowledge()


@case
def no_interrupt_that_is_not_wanted(bench):
    ring = bench.start()
    bench.vm.writew(ring.avail, NO_INTERRUPT)
    bench.serve(ring, interrupt=False, what="that the driver does not want")
    bench.vm.writew(ring.avail, 0)
    bench.serve(ring, what="that the driver wants again")


@case
def many_requests(bench):
    ring = bench.start(size=16)
    for _ in range(50):
        bench.serve(ring)


@case
def peer_that_goes_away(bench):
    """The device asks for a reset and says so; the driver's reset ends in time, and nothing else is touched."""
    ring = bench.start()
    # A request outside of memory ends the peer's connection, as a process that fails would.
    ring.offer(ring.chain([(1 << 40, 16, False)]))
    bench.transport.notify(bench.device.queue)
    bench.vm.wait_for(lambda: bench.transport.status() & NEEDS_RESET, "NEEDS_RESET")
    bench.vm.wait_for(bench.transport.took_config_interrupt, "the configuration interrupt")
    bench.transport.reset()
    bench.vm.check_alive()
    # For the cases that follow there is another machine.
    bench.renew()
