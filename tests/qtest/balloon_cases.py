"""What only a balloon does (virtio 1.2 §5.5)."""

import json
import socket
import struct

from bench import case, check
from devices import BUFFERS

PAGE = 4096


@case
def pages_of_every_kind(bench):
    """Page numbers inside memory and outside, in lists whose length is no number of pages."""
    vm = bench.vm
    for numbers in ([0x4000, 0x4001], [0xffffffff], [bench.memory // PAGE], [bench.memory // PAGE - 1], [0] * 256):
        ring = bench.start()
        data = struct.pack(f"<{len(numbers)}I", *numbers)
        vm.write(BUFFERS, data)
        for cut in (0, 1):
            ring.offer(ring.chain([(BUFFERS, len(data) - cut, False)]))
            bench.transport.notify(0)
            vm.settle()
        bench.must_work(f"after pages {numbers[:2]}")


@case
def size_by_qmp(bench):
    bench.start()
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(bench.vm.qmp))
    lines = client.makefile("rw")

    def execute(command, **arguments):
        lines.write(json.dumps({"execute": command, "arguments": arguments}) + "\n")
        lines.flush()
        while True:
            answer = json.loads(lines.readline())
            if "return" in answer or "error" in answer:
                return answer

    json.loads(lines.readline())
    execute("qmp_capabilities")
    answer = execute("balloon", value=bench.memory - 16 * PAGE)
    check("return" in answer, f"balloon answers {answer}")
    check(bench.transport.config_load(0, 4) == 16, "the device does not ask for 16 pages")
    check(bench.transport.took_config_interrupt(), "no interrupt tells of it")
    check(not bench.transport.took_config_interrupt(), "a second interrupt tells of it")
    check(not bench.transport.took_interrupt(0), "an interrupt tells of a queue that has used nothing")
    bench.transport.acknowledge()
    bench.transport.config_store(4, 4, 16)
    check(execute("query-balloon")["return"]["actual"] == bench.memory - 16 * PAGE, "the actual size is not believed")
    execute("balloon", value=bench.memory)
    bench.transport.config_store(4, 4, 0)
    client.close()
