"""What a guest was told is safe, and is, however its VMM ends. What is promised: ../../faults.md."""

import collections
import os
import pathlib
import random
import re
import signal
import struct
import time

import figures
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


CASES = [flushed_survives_kills_at_any_moment]
