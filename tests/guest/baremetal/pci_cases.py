"""q35's PCI under a guest that is at odds with it."""

from guest_vm import check

ECAM = 0xb0000000
RESET = "0xcf9:6"
SLEEP_PORT = "0xce9"
ROUNDS = 2


def _arguments(bench, words):
    arguments = bench.arguments(words, machine="q35", more=(
        "-device", "pcie-root-port,id=pcie.1,bus=pcie.0,addr=0x3,port=0x1",
        "-drive", f"id=below,file={bench.disk('below.img')},direct=off",
        "-device", "virtio-blk-pci,drive=below,id=below,bus=pcie.1,addr=0x0"))
    disk = arguments.index("-device") + 1
    arguments[disk] = "virtio-blk-pci,drive=rootfs,id=rootfs,addr=0x2"
    return arguments


def noise_and_resets(bench):
    """The guest tries all and resets itself by port 0xCF9: the registers are as at power-on, and all goes once more."""
    with bench.run(_arguments(bench, f"test=pci ecam={ECAM:#x} exit=reset reset={RESET}")) as guest:
        sums = []
        for _ in range(ROUNDS):
            sums.append(guest.until(r"^PCISUM (\w+)$", 60)[1])
            ended = guest.until(r"^DONE (\d+) (\d+)$", 60)
            check(ended[2] == "0", f"the guest says: {[line for line in guest.console.splitlines() if 'FAIL' in line]}")
        check(len(set(sums)) == 1, f"the registers differ after a reset: {sums}")
        with guest.connect() as qmp:
            check(qmp.execute("query-status")["running"], "query-status")
            there = [one["name"] for one in qmp.execute("qom-list", path="/machine/peripheral")]
            check({"below", "rootfs", "pcie.1"} <= set(there), f"the devices are {there}")
            qmp.execute("quit")


def function_of_a_plugin(bench):
    """One with everything that nacre.pci/1 has: capabilities, a file's memory and ports behind BARs, an eventfd behind a
    register, interrupts by the pin, by notify() and by a vector's eventfd."""
    in_file, from_guest = (word.to_bytes(8, "little") for word in (0x656c696665687466, 0x7473657567656874))
    file = bench.scratch / "shown"
    file.write_bytes(in_file.ljust(4096, b"\0") * 2)
    arguments = [*_arguments(bench, f"test=pci_function ecam={ECAM:#x} exit=acpi sleep={SLEEP_PORT}"),
                 "-plugin", f"file={bench.guests.parent / 'plugins/fixtures/fixture-pci.so'}",
                 "-device", f"test-pci,id=all,addr=0x4,file={file}"]
    with bench.run(arguments) as guest:
        guest.results()
    shown = file.read_bytes()
    check(shown[8:16] == from_guest and shown[:8] == in_file, "what the guest has written is not in the file")
    check(shown[4096:].rstrip(b"\0") == in_file, "the guest has written to the page that it may only read")


CASES = [noise_and_resets, function_of_a_plugin]
