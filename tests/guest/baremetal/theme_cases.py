"""Every test of the guest itself, on every kind of start: how many processors, which entry, with and without ACPI."""

from guest_vm import SERIAL, SECTOR_BYTES, DISK_BYTES, check

ALWAYS = {"identity", "write_read", "flush", "get_id", "discard", "write_zeroes", "serial_registers"}


def _run(bench, cpus, elf, machine):
    words = f"test=all cpus={cpus} serial={SERIAL} sectors={DISK_BYTES // SECTOR_BYTES}"
    with bench.start(words, cpus=cpus, elf=elf, machine=machine, drive="direct=off,discard=unmap,detect-zeroes=unmap",
                     device=f"serial={SERIAL},num-queues=4") as guest:
        guest.until(r"^BOOT pvh " if elf == "baremetal.elf" else r"^BOOT linux64 ")
        results = guest.results(40)
    missing = {name for name in ALWAYS | ({"smp_start", "smp_io"} if cpus > 1 else set())
               if results.get(name) != "PASS"}
    check(not missing, f"not passed: {', '.join(sorted(missing))}")


def _case(cpus, elf, machine):
    def case(bench):
        _run(bench, cpus, elf, machine)

    entry = "pvh" if elf == "baremetal.elf" else "elf64"
    case.__name__ = f"all_{entry}_{cpus}cpu_{'noacpi' if machine.endswith('acpi=off') else 'acpi'}"
    return case


CASES = [_case(cpus, elf, machine) for cpus in (1, 4) for elf in ("baremetal.elf", "baremetal64.elf")
         for machine in ("microvm", "microvm,acpi=off")]
