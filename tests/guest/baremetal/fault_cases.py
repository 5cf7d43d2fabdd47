"""What a guest was told is safe, and is, however its VMM ends. What is promised: ../../faults.md."""

import collections
import contextlib
import os
import pathlib
import random
import re
import resource
import signal
import struct
import time

import figures
import qmp_client
from guest_vm import SECTOR_BYTES, check

BLOCK = 4096
SLOTS = 64
SECTORS = BLOCK // SECTOR_BYTES
KILLS = 16  # of each kind of disk; instrumented code starts slowly, and has fewer
KINDS = [("direct=off,aio=off", "", ()), ("direct=off,aio=threads", "", ()), ("direct=off,aio=io_uring", "", ()),
         ("direct=on,aio=io_uring", "", ()), ("direct=on,aio=native", "", ()), ("direct=on,aio=threads", "", ()),
         ("direct=on,aio=io_uring", "iothread=io0", ("-object", "iothread,id=io0"))]


def _number(data):
    """The number of the block that this sector was written with; 0 where it never was, -1 where it is of several."""
    number, = struct.unpack_from("<Q", data)
    return number if data == struct.pack("<Q160xQ160xQ160xQ", *[number] * 4) else -1


def _lost(image, safe):
    """Returns what is not in the image of `safe`, the block flushed last to each place, nor overwritten by a later one, in
    words."""
    lost = []
    for slot in range(SLOTS):
        least = safe.get(slot, 0)
        for sector in range(SECTORS):
            at = slot * BLOCK + sector * SECTOR_BYTES
            number = _number(image[at:at + SECTOR_BYTES])
            if number < least or number % SLOTS != slot and number != 0:
                lost.append(f"sector {sector} of place {slot} holds block {number} and not {least}")
    return lost


def _kill_at_any_moment(bench, kind, rng):
    """Kills a writing VMM again and again; each goes on where the one before has ended. Returns how many blocks were flushed
    before the kills."""
    drive, device, more = kind
    disk = bench.disk(f"journal-{KINDS.index(kind)}.img", 0)
    os.truncate(disk, SLOTS * BLOCK)
    begin, acknowledged = 1, 0
    safe = {}
    for turn in range(KILLS // bench.patience):
        depth = rng.choice((1, 3, 8))
        with bench.start(f"test=journal from={begin} slots={SLOTS} depth={depth}", drive=drive, device=device, more=more,
                         disk=disk) as guest:
            guest.until(r"^SAFE \d+$")
            time.sleep(rng.random() * 0.02)
            os.kill(guest.process.pid, signal.SIGKILL)
            guest.process.wait()
            said = [int(number) for number in re.findall(r"^SAFE (\d+)\n", guest.console, re.MULTILINE)]
        check(said == sorted(set(said)) and said[0] >= begin, f"the guest says it has written {said}")
        image = disk.read_bytes()
        safe.update((number % SLOTS, number) for number in range(begin, said[-1] + 1))
        lost = _lost(image, safe)
        check(not lost, f"{drive} {device}, kill {turn}: of what is flushed up to block {said[-1]}: {'; '.join(lost[:5])}")
        acknowledged += said[-1] - begin + 1
        newest = max(_number(image[slot * BLOCK:][:SECTOR_BYTES]) for slot in range(SLOTS))
        begin = max(newest, said[-1]) + 1  # what is between was in flight: written or not, in any order
    # The look itself must see a loss: of one sector, and of an older block in place of the last
    for at, what in ((said[-1] % SLOTS * BLOCK, bytes(SECTOR_BYTES)), (7 * BLOCK + 512, b"x"),
                     (said[-1] % SLOTS * BLOCK, image[(said[-1] - 1) % SLOTS * BLOCK:][:SECTOR_BYTES])):
        check(_lost(image[:at] + what + image[at + len(what):], safe), "a damaged image is taken for a good one")
    return acknowledged


def flushed_survives_kills_at_any_moment(bench):
    """A guest writes and flushes, many requests at a time; its VMM is killed: all that was flushed is in the image."""
    rng = random.Random(7)
    blocks = {}
    for kind in KINDS:
        blocks[" ".join(kind[:2]).strip()] = _kill_at_any_moment(bench, kind, rng)
    figures.tell("faults", "flushed_survives_kills_at_any_moment", KILLS // bench.patience * len(KINDS),
                 f"kills; blocks flushed before them, none lost: {blocks}")


@contextlib.contextmanager
def _limit(pid, kind, value):
    before = resource.prlimit(pid, kind)
    resource.prlimit(pid, kind, (value, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, kind, before)


def _first_free_descriptors(pid, spare):
    """The limit of open files that leaves so many that can be opened."""
    used = {int(link.name) for link in pathlib.Path(f"/proc/{pid}/fd").iterdir()}
    return [number for number in range(len(used) + spare + 1) if number not in used][spare]


def _mapped_bytes(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()


def vcpus_without_means(bench):
    """A vCPU comes while the host has no descriptors, or no memory, for it: refused in one sentence, nothing changes, and it
    comes when there are. With a sanitizer, whose memory is beyond any limit, for descriptors alone."""
    refusals = collections.Counter()
    arguments = bench.arguments("test=spin every=20000", cpus="1,maxcpus=3", machine="q35")
    arguments[arguments.index("-device") + 1] = "virtio-blk-pci,drive=rootfs,id=rootfs,addr=0x2"
    with bench.run(arguments) as guest, guest.connect() as qmp:
        pid = guest.process.pid
        ways = {1: (resource.RLIMIT_NOFILE, lambda step: _first_free_descriptors(pid, step)),
                2: (resource.RLIMIT_AS, lambda step: _mapped_bytes(pid) + step * 4096)}
        if bench.patience > 1:
            del ways[2]
        for number, (kind, limit) in ways.items():
            for step in range(2000):
                with _limit(pid, kind, limit(step)):
                    try:
                        qmp.execute("device_add", {"id": f"c{number}", "driver": "generic-x86-cpu", "cpu-id": number})
                        break
                    except qmp_client.QmpError as error:
                        refusals[number] += 1
                        check(error.description.endswith("."), f"vCPU {number}, step {step}: {error.description}")
                    check(qmp.execute("query-status")["running"], f"vCPU {number}, step {step}: the guest does not run")
                listed = [one["cpu-id"] for one in qmp.execute("query-hotpluggable-cpus") if "qom-path" in one]
                check(listed == list(range(number)), f"after a refusal there are the vCPUs {listed}")
            else:
                raise AssertionError(f"vCPU {number} never comes")
            guest.check_alive()
        listed = [one["cpu-id"] for one in qmp.execute("query-hotpluggable-cpus") if "qom-path" in one]
        check(listed == [0, *ways] and all(refusals[number] for number in ways), f"vCPUs {listed}, refusals {refusals}")
        guest.terminate()
    figures.tell("faults", "vcpus_without_means", refusals.total(),
                 f"refusals: {refusals[1]} for descriptors, {refusals[2]} for memory")


CASES = [flushed_survives_kills_at_any_moment, vcpus_without_means]
