"""The disk's back ends and options, and what is on the disk when the VMM dies."""

import os
import signal
import struct
import subprocess
import time

from guest_vm import SECTOR_BYTES, check

THEMES = "test=basics,rings"


def _themes(bench, words=THEMES, seconds=30, **options):
    with bench.start(words, **options) as guest:
        return guest.results(seconds)


def aio_off(bench):
    _themes(bench, drive="direct=off,aio=off")


def aio_threads(bench):
    _themes(bench, drive="direct=off,aio=threads")


def aio_io_uring(bench):
    _themes(bench, drive="direct=off,aio=io_uring")


def aio_io_uring_direct(bench):
    _themes(bench, drive="direct=on,aio=io_uring")


def aio_native_direct(bench):
    _themes(bench, drive="direct=on,aio=native")


def iothread(bench):
    _themes(bench, THEMES + ",smp cpus=4", cpus=4, device="iothread=io0,num-queues=4",
            more=["-object", "iothread,id=io0"])


def four_queues(bench):
    results = _themes(bench, THEMES + ",smp cpus=4", cpus=4, device="num-queues=4")
    check(results.get("smp_io") == "PASS", "smp_io did not run")


def hostile_io_uring(bench):
    """What a driver must not do, with requests really in flight on the other queues."""
    _themes(bench, "test=hostile,hostile_rings", drive="direct=off,aio=io_uring", device="num-queues=4")


def index_wrap(bench):
    _themes(bench, "test=index_wrap")


def discard_frees_space(bench):
    """A discard with discard=unmap gives the blocks back to the host's file system."""
    disk = bench.disk()
    before = disk.stat().st_blocks
    _themes(bench, "test=discard", drive="direct=off,discard=unmap")
    after = disk.stat().st_blocks
    check(after < before, f"the image holds {after} blocks of 512 bytes, before it held {before}")


def readonly_disk(bench):
    disk = bench.disk()
    before = disk.read_bytes()
    disk.chmod(0o444)
    results = _themes(bench, "test=read_only,identity", drive="direct=off,readonly=on")
    check(results.get("read_only") == "PASS", "read_only did not run")
    check(disk.read_bytes() == before, "a read-only image has changed")


def throttled(bench):
    """100 reads at 50 a second: 2 s, less what may come at once."""
    with bench.start("test=iops n=100 depth=4", drive="direct=off,throttling.iops-total=50") as guest:
        guest.until(r"^BOOT ")
        started = time.monotonic()
        guest.until(r"^IOPS n=100 ", 20)
        elapsed = time.monotonic() - started
        guest.results()
    check(0.8 <= elapsed <= 3.0 * bench.patience, f"100 reads at 50 a second took {elapsed:.2f} s")


def throttled_and_ended(bench):
    """A VMM with throttled requests waiting ends at once."""
    with bench.start("test=iops n=1000 depth=32", drive="direct=off,throttling.iops-total=5") as guest:
        guest.until(r"^BOOT ")
        time.sleep(0.3)
        started = time.monotonic()
        guest.terminate()
        check(time.monotonic() - started < bench.seconds(2), "the end waited for throttled requests")


def _pattern(sector, count, seed):
    words = (seed + 64 * (sector + at // 64) + at % 64 for at in range(64 * count))
    return struct.pack(f"<{64 * count}Q", *words)


def _flushed_survives(bench, drive):
    disk = bench.disk()
    sector, count, seed = 123, 777, 4711
    with bench.start(f"test=flushwrite n={count} sector={sector} seed={seed}", drive=drive) as guest:
        guest.until(r"^FLUSHED ")
        os.kill(guest.process.pid, signal.SIGKILL)
        guest.process.wait()
    with open(disk, "rb") as file:
        file.seek(sector * SECTOR_BYTES)
        found = file.read(count * SECTOR_BYTES)
    check(found == _pattern(sector, count, seed), "what the guest was told is flushed is not in the image")


def flushed_survives_a_kill(bench):
    _flushed_survives(bench, "direct=off")


def flushed_survives_a_kill_direct(bench):
    _flushed_survives(bench, "direct=on,aio=io_uring")


def flush_reaches_the_host(bench):
    """The host is asked to write its cache back: fdatasync, or io_uring's fsync."""
    trace = bench.scratch / "trace"
    argv = [str(word) for word in bench.arguments("test=flush", drive="direct=off,aio=threads")]
    done = subprocess.run(["strace", "-f", "-qq", "-e", "trace=fdatasync,fsync", "-o", trace, *argv],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=bench.seconds(30),
                          env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})  # which cannot work under strace
    check(done.returncode == 0, f"exit status {done.returncode}: {done.stderr.strip()}")
    check("sync(" in trace.read_text(), "no fdatasync was called for the guest's flush")


CASES = [aio_off, aio_threads, aio_io_uring, aio_io_uring_direct, aio_native_direct, iothread, four_queues,
         hostile_io_uring, index_wrap, discard_frees_space, readonly_disk, throttled, throttled_and_ended,
         flushed_survives_a_kill, flushed_survives_a_kill_direct,
         flush_reaches_the_host]
