"""q35's PCI under a guest that is at odds with it."""

from guest_vm import check

ECAM = 0xb0000000
RESET = "0xcf9:6"
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


CASES = [noise_and_resets]
