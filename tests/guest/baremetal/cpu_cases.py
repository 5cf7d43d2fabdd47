"""vCPUs: those that come and go on q35, and many at once."""

import pathlib

from guest_vm import check

DRIVER = "generic-x86-cpu"


def _arguments(bench, words, cpus, machine="q35"):
    arguments = bench.arguments(words, cpus=cpus, machine=machine)
    if machine == "q35":
        disk = arguments.index("-device") + 1
        arguments[disk] = "virtio-blk-pci,drive=rootfs,id=rootfs,addr=0x2"
    return arguments


def _threads(guest):
    """The numbers of the vCPUs that have a thread."""
    names = [(task / "comm").read_text().strip() for task in pathlib.Path(f"/proc/{guest.process.pid}/task").iterdir()]
    return sorted(int(name.split()[1].split("/")[0]) for name in names if name.startswith("CPU "))


def come_and_go(bench):
    """One comes, is refused to go, goes, and comes again, while the machine is paused once; then one more. A reset takes
    away the one that was to go, and keeps the other."""
    words = "test=cpus cpus=3 changes=5 refuse=1 exit=reset reset=0xcf9:6"
    with bench.run(_arguments(bench, words, "1,maxcpus=3")) as guest, guest.connect() as qmp:
        def request(command, waiting=True, **arguments):
            if waiting:
                guest.until(r"^WAITING$")
            check(qmp.execute(command, arguments) == {}, command)
            check(qmp.wait_event("CPU_RESIZE", 10)["data"] == {}, "CPU_RESIZE")

        def there():
            listed = [one["cpu-id"] for one in qmp.execute("query-hotpluggable-cpus") if "qom-path" in one]
            check(listed == [one["CPU"] for one in qmp.execute("query-cpus")] == _threads(guest), f"there are {listed}")
            return listed

        check(there() == [0], "at first")
        request("device_add", id="a", driver=DRIVER, **{"cpu-id": 2})
        guest.until(r"^CPU 1 apic=2$")
        request("device_del", id="a")
        guest.until(r"^REFUSED 2$")
        check(there() == [0, 2], "after a refusal")
        request("device_del", id="a")
        check(qmp.wait_event("DEVICE_DELETED", 10)["data"]["device"] == "a", "DEVICE_DELETED")
        check(there() == [0], "after it has gone")
        guest.until(r"^WAITING$")
        qmp.execute("stop")
        request("device_add", waiting=False, id="again", driver=DRIVER, **{"cpu-id": 2})
        check(there() == [0, 2], "while paused")
        qmp.execute("cont")
        guest.until(r"^CPU 2 apic=2$")
        request("device_add", id="b", driver=DRIVER, **{"cpu-id": 1})
        guest.until(r"^CPU 3 apic=1$")
        ended = guest.until(r"^DONE (\d+) (\d+)$")
        check(ended[2] == "0", f"the guest says: {[line for line in guest.console.splitlines() if 'FAIL' in line]}")
        # It has reset itself and finds two more than at first; nobody has asked it for "b"
        guest.until(r"FAIL cpus_power_on_state: vCPU 1 has status 0x1")
        check(there() == [0, 1, 2], "after a reset")
        guest.until(r"^WAITING$")
        qmp.execute("stop")
        qmp.execute("device_del", {"id": "b"})
        qmp.execute("system_reset")
        check(qmp.wait_event("DEVICE_DELETED", 10)["data"]["device"] == "b", "a reset takes it away")
        check(there() == [0, 2], "after the second reset")
        qmp.execute("quit")


def from_the_start(bench):
    """One that comes as a device of the command line is there when the guest begins."""
    arguments = _arguments(bench, "test=smp_start cpus=2 rest=1", "1,maxcpus=2")
    with bench.run([*arguments, "-device", "generic-x86-cpu,id=c,cpu-id=1"]) as guest:
        guest.until(r"^CPUS 2$")
        guest.results()


def sixty_four(bench):
    """All start, on both machines."""
    for machine in ("q35", "microvm"):
        with bench.run(_arguments(bench, "test=smp_start cpus=64 rest=1", 64, machine)) as guest:
            guest.until(r"^CPUS 64$", 60)
            guest.results()


CASES = [come_and_go, from_the_start, sixty_four]
