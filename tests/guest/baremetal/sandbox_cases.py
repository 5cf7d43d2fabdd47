"""Which system calls the VMM's threads may make while a guest runs, what becomes of others, and what plugins may ask."""

import contextlib
import pathlib
import time

import qmp_client
from guest_vm import check
from plugin_files import install

REFUSED = 159  # 128 and the number of SIGSYS
CALL = "getsid"
THREADS = {"main": "the main thread", "iothread": "an iothread", "thread": "a plugin's own thread",
           "vcpu": "a vCPU's thread"}


def _fixture(bench, name):
    return bench.guests.parent / "plugins/fixtures" / f"fixture-{name}.so"


@contextlib.contextmanager
def _vm(bench, words, fixture, *more, **options):
    """A guest with an iothread, and the fixture in a directory that plugins are looked for in."""
    hot = bench.scratch / "hot"
    install(_fixture(bench, fixture).read_bytes(), hot / f"{fixture}.so")
    with bench.start(words, more=["-object", "iothread,id=io0", "-plugin-dir", hot, *more], **options) as guest:
        guest.hot = hot / f"{fixture}.so"
        yield guest


def _device(where, driver, **more):
    return {"id": f"c-{where}", "driver": driver, "where": where, **more,
            **({"iothread": "io0"} if where == "iothread" else {})}


def _as_option(device):
    return ",".join([device["driver"], *(f"{key}={value}" for key, value in device.items() if key != "driver")])


def _threads(guest):
    """Returns {name: (mode of seccomp, filters, no_new_privs)} of the VMM's threads."""
    found = {}
    for status in pathlib.Path(f"/proc/{guest.process.pid}/task").glob("*/status"):
        lines = dict(line.split(":\t", 1) for line in status.read_text().splitlines() if ":\t" in line)
        found[lines["Name"]] = (lines["Seccomp"], lines.get("Seccomp_filters"), lines["NoNewPrivs"])
    return found


def _filters(guest, wanted):
    """Waits until the threads that are named have so many filters each."""
    deadline = time.monotonic() + guest.bench.seconds(10)
    while {name: found[1] for name, found in _threads(guest).items() if name in wanted} != wanted:
        check(time.monotonic() < deadline, f"the threads' filters are {_threads(guest)}, not {wanted}")
        time.sleep(0.02)


def every_thread_has_its_list(bench):
    """One filter on all threads, and one more on each that has a list of its own."""
    with bench.start("test=iops,spin n=100 depth=4 every=20000", cpus=2, drive="direct=off,aio=threads",
                     more=["-object", "iothread,id=io0"]) as guest:
        guest.check_alive()
        _filters(guest, {guest.bench.nacre.name: "1", "io0": "2", "CPU 0/KVM": "2", "CPU 1/KVM": "2", "block worker": "2"})
        check(all(mode == "2" and unprivileged == "1" for mode, _, unprivileged in _threads(guest).values()),
              f"a thread is not confined: {_threads(guest)}")
        guest.terminate()


def refused_calls_end_in_a_sentence(bench):
    for where, words in THREADS.items():
        device = _device(where, "test-calls-untold")
        at_start = ["-device", _as_option(device)] if where == "vcpu" else []
        with _vm(bench, "test=port_read port=0x700" if where == "vcpu" else "test=spin every=20000", "calls-untold",
                 *at_start) as guest:
            if where != "vcpu":
                with guest.connect() as qmp, contextlib.suppress(qmp_client.QmpFailure):
                    qmp.execute("device_add", device)
            status = guest.process.wait(bench.seconds(10))
            check(status == REFUSED, f"{where}: the exit status is {status}; the VMM said: {guest.log}")
            said = [line for line in guest.log.splitlines() if line.startswith("fatal: ")]
            check(len(said) == 1, f"{where}: the VMM said: {guest.log}")
            for part in (f"the sandbox refuses the system call '{CALL}' (", f") to {words}", "-disable-seccomp"):
                check(part in said[0], f"{where}: '{part}' is not in: {said[0]}")
            check(where != "main" or "in plugin 'org.nacre.test.calls-untold', in realize of device 'c-main'" in said[0],
                  f"the plugin is not named: {said[0]}")


def declared_calls_are_made(bench):
    """Of a plugin that the command line names; and it shows what it has declared."""
    own = ["-plugin", f"file={_fixture(bench, 'calls')}"]
    with _vm(bench, "test=spin every=20000", "good", *own) as guest, guest.connect() as qmp:
        for where in ("main", "iothread", "thread"):
            qmp.execute("device_add", _device(where, "test-calls"))
        listed = {entry["id"]: entry.get("system-calls") for entry in qmp.execute("query-plugins")}
        check(listed["org.nacre.test.calls"] == [CALL], f"query-plugins says {listed['org.nacre.test.calls']}")
        check(listed["org.nacre.microvm"] is None, "query-plugins makes up system calls")
        guest.check_alive()
        guest.terminate()
    with _vm(bench, "test=port_read port=0x700", "calls", "-device", _as_option(_device("vcpu", "test-calls"))) as guest:
        guest.until(r"^PORT 0x700 holds 0x5a$")
        guest.results()


def late_wishes_are_refused(bench):
    """A plugin that comes while the guest runs gets no more than was settled, and nothing happens to the guest."""
    with _vm(bench, "test=spin every=20000", "calls") as guest, guest.connect() as qmp:
        for command, arguments in (("device_add", _device("main", "test-calls")),
                                   ("plugin-load", {"file": str(guest.hot)})):
            try:
                qmp.execute(command, arguments)
            except qmp_client.QmpError as error:
                check(f"it makes the system call '{CALL}'" in error.description and
                      f"-plugin file={guest.hot}" in error.description, error.description)
            else:
                raise AssertionError(f"{command} is accepted")
        guest.check_alive()
        guest.terminate()


def nothing_is_refused_without(bench):
    with _vm(bench, "test=spin every=20000", "calls-untold", "-disable-seccomp") as guest, guest.connect() as qmp:
        for where in ("main", "iothread", "thread"):
            qmp.execute("device_add", _device(where, "test-calls-untold"))
        check({mode for mode, _, _ in _threads(guest).values()} == {"0"}, f"filters: {_threads(guest)}")
        guest.check_alive()
        guest.terminate()


def crashes_are_still_told(bench):
    with _vm(bench, "test=spin every=20000", "crash") as guest, guest.connect() as qmp:
        guest.may_crash = True
        with contextlib.suppress(qmp_client.QmpFailure):
            qmp.execute("device_add", {"id": "x", "driver": "test-crash"})
        status = guest.process.wait(bench.seconds(20))
        check(status not in (0, REFUSED), f"the exit status is {status}")
        check("fatal: plugin 'org.nacre.test.crash' crashed in init" in guest.log, f"the VMM said: {guest.log}")


def user_network_comes_later(bench):
    """A program is started for it, which the VMM itself may not do any more; and it goes. Without a user network from
    the start there is no helper that does."""
    with bench.start("test=spin every=20000") as guest, guest.connect() as qmp:
        try:
            qmp.execute("netdev_add", {"type": "user", "id": "n0"})
            raise AssertionError("a program is started by a VMM that may start none")
        except qmp_client.QmpError as error:
            check("-disable-seccomp" in error.description, f"it says: {error.description}")
        check(not _descendants(guest), f"the processes are {_descendants(guest)}")
        guest.terminate()
    with bench.start("test=spin every=20000", more=["-netdev", "user,id=first"]) as guest, guest.connect() as qmp:
        before = _descendants(guest)
        qmp.execute("netdev_add", {"type": "user", "id": "n0"})
        more = _descendants(guest)
        check(len(more) > len(before), f"the processes were {before} and are {more}")
        qmp.execute("netdev_del", {"id": "n0"})
        check(_descendants(guest) == before, f"the processes were {before} and are {_descendants(guest)}")
        guest.terminate()


def _descendants(guest):
    """Returns the names of the VMM's children and theirs, as they were started."""
    parents, names = {}, {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            before, after = stat.read_text().rsplit(")", 1)
            number, name = before.split(" (", 1)
            parents[int(number)], names[int(number)] = int(after.split()[1]), name
    ours = {guest.process.pid}
    while more := {child for child, parent in parents.items() if parent in ours} - ours:
        ours |= more
    # Where it can passt becomes the program passt.avx2
    return sorted(names[number].removesuffix(".avx2") for number in ours - {guest.process.pid})


CASES = [every_thread_has_its_list, refused_calls_end_in_a_sentence, declared_calls_are_made, late_wishes_are_refused,
         nothing_is_refused_without, crashes_are_still_told, user_network_comes_later]
