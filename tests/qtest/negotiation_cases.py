"""How a driver brings any virtio device up, rightly and wrongly, on both transports (virtio 1.2 §3.1, §2.1, §4)."""

from bench import case, check, own_rings
from ring import Ring
from virtio import (ACKNOWLEDGE, DRIVER, DRIVER_OK, EVENT_IDX, FEATURES_OK, INDIRECT_DESC, NEEDS_RESET, RINGS,
                    VERSION_1)

READY = ACKNOWLEDGE | DRIVER | FEATURES_OK


def negotiate(transport, features):
    """Whether the device accepts exactly these."""
    transport.reset()
    transport.set_status(ACKNOWLEDGE | DRIVER)
    transport.accept(features)
    transport.set_status(READY)
    return bool(transport.status() & FEATURES_OK)


@case
def every_feature_is_accepted(bench):
    t = bench.transport
    check(t.features() & VERSION_1, "the device does not offer VIRTIO_F_VERSION_1")
    check(negotiate(t, t.features()), f"the device refuses what it offers, {t.features():#x}")


@case
def version_1_must_be_accepted(bench):
    t = bench.transport
    check(not negotiate(t, t.features() & ~VERSION_1), "the device goes on without VIRTIO_F_VERSION_1")


@case
def features_of_the_ring_are_what_the_suite_says(bench):
    offered = bench.transport.features() & (INDIRECT_DESC | EVENT_IDX)
    check(offered == bench.device.offers, f"the device offers {offered:#x} of the ring's features, "
          f"not {bench.device.offers:#x}: the cases that need one are chosen by that")


@case
def features_that_are_not_offered_are_dropped(bench):
    t = bench.transport
    offered = t.features()
    check(negotiate(t, (1 << 64) - 1), "the device refuses all features at once, and does not drop what it has not got")
    for bit in range(64):
        if not offered >> bit & 1:
            ring = bench.start_with(VERSION_1 | bench.device.features | 1 << bit)
            bench.serve(ring, what=f"with feature {bit}, which is not offered")


@case
def features_stay_after_features_ok(bench):
    t = bench.transport
    check(negotiate(t, VERSION_1), "VIRTIO_F_VERSION_1 alone is refused")
    t.accept(0)
    t.set_status(READY)
    check(t.status() & FEATURES_OK, "features that were written too late took effect")


@case
def other_feature_words_are_empty(bench):
    t = bench.transport
    select, value = (t.base + 0x14, t.base + 0x10) if hasattr(t, "base") else (t.common, t.common + 4)
    for word in (2, 3, 0x80000000, 0xffffffff):
        bench.vm.writel(select, word)
        check(bench.vm.readl(value) == 0, f"feature word {word:#x} is not empty")


@case
def reset_at_every_step(bench):
    t, vm, device = bench.transport, bench.vm, bench.device
    features = t.features()
    size = t.queue_max(device.queue)
    ring = Ring(vm, RINGS, min(size, 64))
    steps = [lambda: t.set_status(ACKNOWLEDGE), lambda: t.set_status(ACKNOWLEDGE | DRIVER),
             lambda: t.accept(VERSION_1), lambda: t.set_status(READY),
             lambda: t.set_queue(device.queue, ring.size, ring.desc, ring.avail, ring.used),
             lambda: t.enable(device.queue), lambda: t.set_status(READY | DRIVER_OK),
             lambda: ring.offer(ring.chain(device.parts(vm))), lambda: t.notify(device.queue)]
    for last in range(len(steps) + 1):
        ring.clear()
        for step in steps[:last]:
            step()
        t.reset()
        check(t.status() == 0, f"after {last} steps and a reset the status is {t.status():#x}")
        check(t.features() == features, f"after {last} steps and a reset the features differ")
        check(t.queue_max(device.queue) == size, f"after {last} steps and a reset the queue's size differs")
        check(not t.enabled(device.queue), f"after {last} steps and a reset the queue is enabled")
        bench.must_work(f"after {last} steps and a reset")


@case
def row_10_reset_with_a_request_under_way(bench):
    t, vm, device = bench.transport, bench.vm, bench.device
    for _ in range(10):
        ring = bench.start()
        ring.offer(ring.chain(device.parts(vm)))
        t.notify(device.queue)
        t.reset()
        used = ring.used_index()
        vm.settle()
        check(ring.used_index() == used, "the device wrote to the queue after its reset")
        check(not t.strays(), f"interrupts that told of {t.strays()} came after the reset")


@case
def configuration_interrupts(bench):
    """One tells of NEEDS_RESET, and none comes again, or for what is no change that the device makes."""
    t, vm, device = bench.transport, bench.vm, bench.device
    t.start(VERSION_1, device.queues)
    check(not t.took_config_interrupt(), "a configuration interrupt came at DRIVER_OK")
    for offset in device.writable:
        t.config_store(offset, 1, 0)
    check(not t.took_config_interrupt(), "a configuration interrupt came for what the driver wrote itself")
    negotiate(t, VERSION_1)
    t.before_queues()
    ring = Ring(vm, RINGS, 16)
    t.set_queue(device.queue, 3, ring.desc, ring.avail, ring.used)
    t.enable(device.queue)
    check(not t.took_config_interrupt(), "a configuration interrupt came before DRIVER_OK")
    t.set_status(READY | DRIVER_OK)
    bench.must_break(ring, "for a queue of 3 entries")
    t.notify(device.queue)
    t.set_status(READY | DRIVER_OK)
    vm.settle()
    check(not t.strays(), f"interrupts that told of {t.strays()} came after NEEDS_RESET")
    t.set_status(0)
    vm.wait_for(lambda: t.status() == 0, "the end of the reset")
    check(not t.took_config_interrupt(), "a configuration interrupt came for the reset")


def must_not_serve(bench, status, complaint):
    """With its queue set up, and then this status (none: as it is), a request stays where it is."""
    t, vm, device = bench.transport, bench.vm, bench.device
    ring = Ring(vm, RINGS, 16)
    t.set_queue(device.queue, ring.size, ring.desc, ring.avail, ring.used)
    t.enable(device.queue)
    if status:
        t.set_status(status)
    ring.offer(ring.chain(device.parts(vm)))
    t.notify(device.queue)
    vm.settle()
    check(ring.used_index() == 0, complaint)


@case
def driver_ok_without_features_ok(bench):
    bench.transport.reset()
    bench.transport.set_status(ACKNOWLEDGE | DRIVER)
    must_not_serve(bench, ACKNOWLEDGE | DRIVER | DRIVER_OK,
                   "the device works for a driver that has negotiated nothing")


@case
def driver_ok_first_of_all(bench):
    bench.transport.reset()
    must_not_serve(bench, DRIVER_OK, "the device works for a driver that has said nothing but DRIVER_OK")


@case
def driver_ok_twice(bench):
    ring = bench.start()
    bench.transport.set_status(READY | DRIVER_OK)
    bench.serve(ring)


@case
@own_rings
def driver_ok_without_queues(bench):
    t = bench.transport
    t.start(VERSION_1)
    for queue in (*bench.device.queues, 7, 65535):
        t.notify(queue)
    bench.vm.settle()
    check(not bench.transport.status() & NEEDS_RESET, "notifications of queues that are not enabled broke the device")


@case
def status_takes_any_byte(bench):
    """Without VIRTIO_F_VERSION_1 none of them lets the device work."""
    t = bench.transport
    t.reset()
    must_not_serve(bench, ACKNOWLEDGE, "the device works for a driver that has acknowledged it alone")
    used = RINGS + 0x8000 + 2  # of the queue that has been set up, whose request waits
    for value in range(1, 256):
        t.set_status(value)
        t.notify(bench.device.queue)
        bench.vm.request("endianness")
        check(bench.vm.readw(used) == 0, f"status {value:#x} lets the device work")
    bench.vm.settle()
    check(bench.vm.readw(used) == 0, "some status lets the device work")
    t.reset()


@case
def kicks_before_driver_ok_do_nothing(bench):
    negotiate(bench.transport, VERSION_1)
    must_not_serve(bench, 0, "the device worked before DRIVER_OK")


@case
def queues_that_do_not_exist(bench):
    t = bench.transport
    for index in (64, 255, 65535):
        check(t.queue_max(index) == 0, f"queue {index} exists")
        t.set_queue(index, 16, RINGS, RINGS + 0x4000, RINGS + 0x8000)
        t.enable(index)
        check(not t.enabled(index), f"queue {index}, which does not exist, is enabled")


@case
def queue_sizes(bench):
    t, vm, device = bench.transport, bench.vm, bench.device
    most = t.queue_max(device.queue)
    check(most and not most & (most - 1), f"the queue's maximum size {most} is no power of two")
    for size in (4, most):
        ring = bench.start(size=size)
        bench.serve(ring, what=f"with a queue of {size}")
    for size in (0, 3, most - 1, most + 1, 2 * most, 65535):
        negotiate(t, VERSION_1)
        ring = Ring(vm, RINGS, 16)
        t.set_queue(device.queue, size, ring.desc, ring.avail, ring.used)
        t.enable(device.queue)
        t.set_status(READY | DRIVER_OK)
        ring.offer(ring.chain(device.parts(vm)))
        t.notify(device.queue)
        vm.settle()
        check(ring.used_index() == 0, f"the device works with a queue of {size} entries")
        check(t.status() & NEEDS_RESET, f"the device says nothing of a queue of {size} entries")


@case
def queue_addresses_misaligned_or_outside(bench):
    t, vm, device = bench.transport, bench.vm, bench.device
    end = bench.memory
    good = {"desc": RINGS, "avail": RINGS + 0x4000, "used": RINGS + 0x8000}
    for part, align in (("desc", 16), ("avail", 2), ("used", 4)):
        for wrong in (good[part] + align // 2, good[part] + 1, end, end - align, 0xfffffffffffff000, 1 << 63,
                      0xf0100000):
            ring = Ring(vm, RINGS, 16)
            negotiate(t, VERSION_1)
            t.set_queue(device.queue, 16, **{**good, part: wrong})
            t.enable(device.queue)
            t.set_status(READY | DRIVER_OK)
            t.notify(device.queue)
            vm.settle()
            check(ring.used_index() == 0, f"the device works with its {part} at {wrong:#x}")
            check(t.status() & NEEDS_RESET, f"the device says nothing of its {part} at {wrong:#x}")
    bench.must_work("after queues at wrong places")


@case
@own_rings
def queue_parts_that_overlap(bench):
    t, vm, device = bench.transport, bench.vm, bench.device
    guards = (RINGS - 0x1000, RINGS + 0xa000)
    for desc, avail, used in ((0, 0, 0), (0, 0, 0x8000), (0, 0x4000, 0x4000), (0, 0x4000, 0)):
        negotiate(t, VERSION_1)
        for guard in guards:
            vm.write(guard, b"\xcc" * 0x1000)
        ring = Ring(vm, RINGS, 16)
        ring.desc, ring.avail, ring.used = RINGS + desc, RINGS + avail, RINGS + used
        t.set_queue(device.queue, 16, ring.desc, ring.avail, ring.used)
        t.enable(device.queue)
        t.set_status(READY | DRIVER_OK)
        ring.offer(ring.chain(device.parts(vm)))
        t.notify(device.queue)
        vm.settle()
        where = f"with its parts at {desc:#x}, {avail:#x} and {used:#x}"
        check(t.status() & DRIVER_OK, f"the device has lost its driver {where}")
        check(t.status() & NEEDS_RESET or used == desc or ring.used_index() <= 1,
              f"one request was used more than once {where}")
        check(all(vm.read(guard, 0x1000) == b"\xcc" * 0x1000 for guard in guards),
              f"the device writes beside its queue {where}")


@case
def queue_changes_after_it_is_enabled(bench):
    t, device = bench.transport, bench.device
    ring = bench.start()
    t.set_queue(device.queue, 4, 0x100, 0x200, 0x300)
    bench.serve(ring, what="after its queue was written to while enabled")


@case
def configuration_reads_agree(bench):
    t = bench.transport
    for offset in range(0, 60, 4):
        whole = t.config_load(offset, 4)
        halves = t.config_load(offset, 2) | t.config_load(offset + 2, 2) << 16
        parts = sum(t.config_load(offset + i, 1) << 8 * i for i in range(4))
        check(whole == halves == parts, f"configuration at {offset:#x} is {whole:#x}, {halves:#x} or {parts:#x}")


@case
def configuration_writes_of_every_width(bench):
    """What is not the driver's to write stays as it is."""
    t, own = bench.transport, bench.device.writable

    def read():
        return [t.config_load(offset, 1) for offset in range(80)]

    before = read()

    def must_be_as_before(what):
        changed = [offset for offset, value in enumerate(read()) if value != before[offset] and offset not in own]
        check(not changed, f"{what} have changed the configuration at {changed}")

    for width in (1, 2, 4, 8):
        for offset in range(0, 72, 1):
            for value in (0, 0xffffffffffffffff):
                t.config_store(offset, width, value)
    must_be_as_before("writes without a driver")
    t.start(VERSION_1, bench.device.queues)
    for width in (1, 2, 4, 8):
        for offset in range(0, 72, width):
            t.config_store(offset, width, 0x5a5a5a5a5a5a5a5a)
    bench.vm.settle()
    must_be_as_before("writes of a driver")
    for offset in own:
        t.config_store(offset, 1, before[offset])


@case
def registers_take_every_width(bench):
    t, vm = bench.transport, bench.vm
    for address in t.registers():
        for width in (1, 2, 4, 8):
            for skew in (0, 1):
                vm.load(address + skew, width)
                vm.store(address + skew, width, 0xffffffffffffffff)
    t.reset()
