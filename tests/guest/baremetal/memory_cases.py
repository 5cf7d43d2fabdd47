"""A balloon and a source of random bytes under a guest that means no good: only the devices suffer."""

import time

from guest_vm import MEMORY_MIB, check

BALLOON = ["-device", "virtio-balloon-device,free-page-reporting=on,statistics=on,id=balloon0"]
RNG = ["-object", "rng-random,id=r", "-device", "virtio-rng-device,rng=r"]
TESTS = {"balloon_basics", "balloon_frames_outside", "balloon_odd_requests", "balloon_too_long", "balloon_own_rings",
         "balloon_configuration", "balloon_statistics", "rng_basics", "rng_long_request", "rng_odd_requests",
         "rng_reset_in_flight"}


def _devices(bench, machine, more):
    with bench.start("test=balloon,rng,identity", machine=machine, more=more) as guest:
        results = guest.results(60)
        missing = {name for name in TESTS if results.get(name) != "PASS"}
        check(not missing, f"not passed: {', '.join(sorted(missing))}")


def devices(bench):
    _devices(bench, "microvm", [*BALLOON, *RNG])


def devices_shared_memory(bench):
    _devices(bench, "microvm,mem-share=on", [*BALLOON, *RNG])


def actual_stays_in_bounds(bench):
    """query-balloon while the guest writes what it likes into the configuration."""
    with bench.start("test=balloon_configuration,spin every=20000", more=BALLOON) as guest, guest.connect() as qmp:
        guest.until(r"^PASS balloon_configuration$")
        while True:
            actual = qmp.execute("query-balloon")["actual"]
            check(0 <= actual <= MEMORY_MIB << 20, f"the guest has {actual} bytes")
            if actual == MEMORY_MIB << 20:
                break
            time.sleep(0.05)
        check(qmp.execute("query-balloon-stats")["last-update"] == 0, "statistics that nobody told")
        qmp.execute("balloon", value=64 << 20)
        check(qmp.execute("query-balloon")["actual"] == MEMORY_MIB << 20, "a guest that does nothing has given memory")
        guest.check_alive()
        guest.terminate()


CASES = [devices, devices_shared_memory, actual_stays_in_bounds]
