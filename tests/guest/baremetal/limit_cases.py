"""A host that has no more descriptors or memory. What is promised: ../../faults.md. Not with UBSan, which asks
the kernel by a pipe whether a pointer's memory is there, and ends the machine where it gets none."""

import collections
import pathlib
import resource

import figures
import qmp_client
from guest_vm import check
from limits import descriptors, limit


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
        ways = {1: (resource.RLIMIT_NOFILE, lambda step: descriptors(pid, step)),
                2: (resource.RLIMIT_AS, lambda step: _mapped_bytes(pid) + step * 4096)}
        if bench.patience > 1:
            del ways[2]
        for number, (kind, value) in ways.items():
            for step in range(2000):
                with limit(pid, kind, value(step)):
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


CASES = [vcpus_without_means]
