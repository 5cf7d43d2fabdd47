"""Pausing, resetting and ending a guest, by QMP, by the guest itself and by a signal; and a guest that cannot run."""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import stat
import struct
import subprocess
import time
from unittest import mock

import kvm_probe
import qmp_client
from guest_vm import RESET_PORT, SLEEP_PORT, check, run_refused


def _consecutive(ticks):
    lost = [number for number, (before, after) in enumerate(zip(ticks, ticks[1:])) if after != before + 1]
    check(not lost, f"ticks were lost or doubled: {ticks[max(0, lost[0] - 2):lost[0] + 4] if lost else ''}")


def pause_and_resume_100_times(bench):
    """A paused guest does not tick, and misses none afterwards."""
    with bench.start("test=spin every=20000") as guest, guest.connect() as qmp:
        guest.until(r"^TICK 3$")
        for turn in range(100):
            qmp.execute("stop")
            qmp.wait_event("STOP")
            if turn % 10 == 0:
                check(qmp.execute("query-status") == {"running": False, "singlestep": False, "status": "paused"},
                      "query-status does not say 'paused'")
                time.sleep(0.02)  # what was printed before may still be on its way
                before = len(guest.console)
                time.sleep(0.1)
                check(len(guest.console) == before, "the guest went on while it was paused")
            qmp.execute("cont")
            qmp.wait_event("RESUME")
        check(qmp.execute("query-status")["status"] == "running", "query-status does not say 'running'")
        guest.check_alive()
        guest.terminate()
        _consecutive(guest.ticks())


def pause_four_processors(bench):
    with bench.start("test=smp,spin cpus=4 every=20000", cpus=4, device="num-queues=4") as guest, \
            guest.connect() as qmp:
        guest.until(r"^TICK 1$", 30)
        for _ in range(30):
            qmp.execute("stop")
            qmp.execute("cont")
        guest.check_alive()
        guest.terminate()
        _consecutive(guest.ticks())


def start_paused(bench):
    """-S: nothing runs before cont."""
    with bench.start("test=identity", more=["-S"]) as guest, guest.connect() as qmp:
        check(qmp.execute("query-status")["status"] == "paused", "it does not start paused")
        time.sleep(0.3)
        check("BOOT" not in guest.console, "the guest ran before cont")
        qmp.execute("cont")
        guest.results()


def _pause_under_load(bench, drive, device="", more=()):
    with bench.start("test=iops n=4000 depth=32", drive=drive, device=device, more=more) as guest, \
            guest.connect() as qmp:
        guest.until(r"^BOOT ")
        for _ in range(40):
            qmp.execute("stop")
            check(not qmp.execute("query-status")["running"], "query-status does not say that it is paused")
            qmp.execute("cont")
            time.sleep(0.005)
        guest.results()


def stop_with_io_in_flight(bench):
    _pause_under_load(bench, "direct=off,aio=io_uring")


def stop_with_io_in_flight_threads(bench):
    _pause_under_load(bench, "direct=off,aio=threads")


def stop_with_io_in_flight_iothread(bench):
    _pause_under_load(bench, "direct=on,aio=io_uring", "iothread=io0", ["-object", "iothread,id=io0"])


def quit_while_paused_with_io_in_flight(bench):
    with bench.start("test=iops n=1000000 depth=32") as guest, guest.connect() as qmp:
        guest.until(r"^BOOT ")
        time.sleep(0.2)
        qmp.execute("stop")
        qmp.execute("quit")
        event = qmp.wait_event("SHUTDOWN")
        check(event["data"] == {"guest": False, "reason": "host-qmp-quit"}, f"SHUTDOWN says {event['data']}")
        guest.wait_exit(bench.seconds(5))


def system_reset_under_load(bench):
    """The guest boots again, from the same memory and disk, five times."""
    with bench.start("test=iops n=1000000 depth=32") as guest, guest.connect() as qmp:
        for _ in range(5):
            guest.until(r"^BOOT ")
            time.sleep(0.1)
            qmp.execute("system_reset")
            check(qmp.wait_event("RESET")["data"].get("guest") is False, "RESET does not say that the host asked")
        guest.until(r"^BOOT ")
        check(qmp.execute("query-status")["status"] == "running", "the guest is not running after a reset")
        guest.terminate()


def reset_while_paused(bench):
    with bench.start("test=spin every=20000") as guest, guest.connect() as qmp:
        guest.until(r"^TICK 2$")
        qmp.execute("stop")
        qmp.execute("system_reset")
        qmp.wait_event("RESET")
        check(qmp.execute("query-status")["status"] == "paused", "a reset resumed a paused guest")
        qmp.execute("cont")
        guest.until(r"^BOOT ")
        guest.until(r"^TICK 1$")
        guest.terminate()


def reset_and_stop_at_once(bench):
    """Both in one message: the machine is paused when both are done, and nobody has waited for the other."""
    with bench.start("test=spin every=20000") as guest, guest.connect() as qmp:
        for _ in range(5):
            guest.until(r"^TICK 1$")
            begin = time.monotonic()
            qmp.send(b'{"execute": "system_reset"}{"execute": "stop"}')
            answers = []
            while len(answers) < 2:
                message = qmp.receive()
                (qmp.events if "event" in message else answers).append(message)
            check(answers == [{"return": {}}] * 2, f"the answers are {answers}")
            qmp.wait_event("RESET")
            check(time.monotonic() - begin < bench.seconds(1), f"both took {time.monotonic() - begin:.1f} s")
            check(qmp.execute("query-status")["status"] == "paused", "it is not paused")
            qmp.execute("cont")
            guest.until(r"^BOOT ")
        guest.terminate()


def reset_and_triple_fault(bench):
    """A guest that asks for a reset and does not wait for it is reset, and not ended."""
    with bench.start(f"test=identity exit=reset reset={RESET_PORT:#x}:1 impatient=1") as guest, guest.connect() as qmp:
        for _ in range(20):
            guest.until(r"^BOOT ")
            qmp.wait_event("RESET")
        guest.until(r"^BOOT ")
        qmp.execute("stop")
        guest.terminate()


def _ends(bench, words):
    with bench.start(f"test=identity {words}", more=["-S"]) as guest, guest.connect() as qmp:
        qmp.execute("cont")
        data = qmp.wait_event("SHUTDOWN")["data"]
        check(data == {"guest": True, "reason": "guest-shutdown"}, f"SHUTDOWN says {data}")
        guest.results()


def ends_by_triple_fault(bench):
    _ends(bench, "exit=triple")


def ends_by_acpi_sleep(bench):
    _ends(bench, f"exit=acpi sleep={SLEEP_PORT:#x}")


def acpi_reset_boots_again(bench):
    """Once for each boot, though the guest goes on asking until it is stopped."""
    with bench.start(f"test=identity exit=reset reset={RESET_PORT:#x}:1") as guest, guest.connect() as qmp:
        for _ in range(3):
            guest.until(r"^BOOT ")
            check(qmp.wait_event("RESET")["data"].get("guest") is True, "RESET does not say that the guest asked")
        guest.until(r"^BOOT ")
        qmp.execute("stop")
        guest.terminate()
        boots = len(re.findall(r"^BOOT ", guest.console, re.MULTILINE))
        resets = sum(event["event"] == "RESET" for event in qmp.events)
        check(resets <= boots, f"{resets} resets and {boots} boots")


def halted_guest_costs_nothing(bench):
    """A guest that sleeps for ever lets its host sleep, answers QMP, and can be ended."""
    with bench.start("test=identity exit=halt") as guest, guest.connect() as qmp:
        guest.until(r"^DONE 1 0$")
        time.sleep(0.1)
        before = sum(os.times()[2:4]), _cpu_seconds(guest.process.pid)
        time.sleep(0.5)
        used = _cpu_seconds(guest.process.pid) - before[1]
        check(used < 0.1, f"the VMM of a halted guest used {used:.2f} s of CPU in half a second")
        qmp.execute("stop")
        qmp.execute("cont")
        guest.terminate()


def _cpu_seconds(pid):
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def sigterm_ends_in_order(bench):
    for number in (signal.SIGTERM, signal.SIGINT):
        with bench.start("test=spin") as guest, guest.connect() as qmp:
            guest.until(r"^TICK 1$")
            guest.process.send_signal(number)
            data = qmp.wait_event("SHUTDOWN")["data"]
            check(data["guest"] is False and f"signal {int(number)}" in data["reason"], f"SHUTDOWN says {data}")
            guest.wait_exit(bench.seconds(5))
            check(not bench.qmp_path.exists(), "the QMP socket is left behind")


def daemon(bench):
    """-daemonize answers when the guest runs; its pid file and socket go with it."""
    pid_file, console = bench.scratch / "pid", bench.scratch / "console"
    argv = bench.arguments("test=spin every=20000", serial=f"file,path={console}",
                           more=["-daemonize", "-pidfile", pid_file])
    for end in ("quit", "signal"):
        console.unlink(missing_ok=True)
        done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=bench.seconds(20))
        check(done.returncode == 0, f"exit status {done.returncode}: {done.stderr.strip()}")
        check(not done.stdout and not done.stderr, f"it said: {done.stdout}{done.stderr}")
        pid = int(pid_file.read_text())
        try:
            check(str(bench.nacre) == os.readlink(f"/proc/{pid}/exe"), "the pid file names another process")
            check("existed" in run_refused(argv, bench.seconds(10)), "a second daemon with the pid file is not refused")
            with qmp_client.Qmp(bench.qmp_path, timeout=bench.seconds(10)) as qmp:
                check(qmp.execute("query-status")["running"], "the daemon's guest does not run")
                deadline = time.monotonic() + bench.seconds(10)
                while "TICK 2" not in (console.read_text() if console.exists() else ""):
                    check(time.monotonic() < deadline, "the daemon's guest prints no ticks into the serial port's file")
                    time.sleep(0.05)
                if end == "quit":
                    qmp.execute("quit")
                else:
                    os.kill(pid, signal.SIGTERM)
                qmp.wait_event("SHUTDOWN")
            deadline = time.monotonic() + bench.seconds(5)
            while os.path.exists(f"/proc/{pid}/exe") and time.monotonic() < deadline:
                time.sleep(0.02)
            check(not os.path.exists(f"/proc/{pid}/exe"), "the daemon does not end")
            check(not pid_file.exists(), "the pid file is left behind")
            check(not bench.qmp_path.exists(), "the QMP socket is left behind")
        finally:
            if os.path.exists(f"/proc/{pid}/exe"):
                os.kill(pid, signal.SIGKILL)


def _without_leak_search():
    """For machines that cannot read /proc any more, by way of which a sanitizer looks for leaks."""
    return mock.patch.dict(os.environ, {"ASAN_OPTIONS": f"{os.environ.get('ASAN_OPTIONS', '')}:detect_leaks=0"})


NOBODY = 65534
AS_NOBODY = (r"Uid:\t65534\t65534\t65534\t65534", r"Gid:\t65534\t65534\t65534\t65534", r"Cap(Eff|Prm):\t0{16}",
             r"NoNewPrivs:\t1")


def _check_threads(guest, lines, root):
    """Every thread has these lines in its status, and a root directory with these files in it; None: the host's."""
    tasks = list(pathlib.Path(f"/proc/{guest.process.pid}/task").iterdir())
    check(len(tasks) >= 4, f"there are {len(tasks)} threads")
    for task in tasks:
        status = (task / "status").read_text()
        for line in lines:
            check(re.search(f"^{line}$", status, re.MULTILINE), f"{task} is without {line}: {status}")
        if AS_NOBODY[0] in lines:
            check(not re.search(r"^Groups:\t(0 |.* 0 )", status, re.MULTILINE), f"{task} is in root's group")
        held = os.listdir(task / "root")
        check(sorted(held) == sorted(root or os.listdir("/")), f"the root of {task} has {held}")


def _add_disk(qmp, name, path):
    """Returns "" or why it was refused."""
    try:
        qmp.execute("blockdev-add", **{"node-name": name, "file": {"driver": "file", "filename": str(path)}})
        return ""
    except qmp_client.QmpError as error:
        return str(error)


def _jail(bench):
    """Makes a directory for -chroot with a disk in it, of an ordinary user's."""
    jail = bench.scratch / "jail"
    jail.mkdir(exist_ok=True)
    jail.chmod(0o755)
    (jail / "inside.img").write_bytes(bytes(1 << 20))
    os.chown(jail / "inside.img", NOBODY, NOBODY)
    return jail


def _outside(bench):
    outside = bench.scratch / "outside.img"
    outside.write_bytes(bytes(1 << 20))
    return outside


@contextlib.contextmanager
def _less_privileged(bench, *more):
    """A guest that waits, and QMP; it does what it should at the end, with the disk that was opened before."""
    with _without_leak_search(), bench.start("test=iops,spin n=100 depth=4 every=20000", cpus=2,
                                             more=[*more, "-object", "iothread,id=io0", "-S"]) as guest, \
            guest.connect() as qmp:
        yield guest, qmp
        qmp.execute("cont")
        guest.until(r"^IOPS n=100 ", bench.seconds(30))
        qmp.execute("quit")
        guest.wait_exit(bench.seconds(5))
    bench.qmp_path.unlink(missing_ok=True)  # which an ordinary user cannot


def privileges_are_given_up(bench):
    """-runas and -chroot: every thread is an ordinary user's, in a directory of its own, before the guest runs, and gains
    nothing back; the guest's disk, opened before, works, and what is plugged in later is looked for in there."""
    jail, outside = _jail(bench), _outside(bench)
    for user in ("nobody", "65534:65534"):
        with _less_privileged(bench, "-runas", user, "-chroot", jail) as (guest, qmp):
            _check_threads(guest, AS_NOBODY, ["inside.img"])
            # Nothing else is mounted there, so that root itself would find no way out
            mounts = pathlib.Path(f"/proc/{guest.process.pid}/mountinfo").read_text().splitlines()
            if "without a mount namespace" in guest.log:  # where this process has no such right itself
                check(not mounts, f"its root is below these mounts: {mounts}")
            else:
                check(len(mounts) == 1 and mounts[0].split()[4] == "/", f"these are mounted: {mounts}")
            refusal = _add_disk(qmp, "d1", outside)
            check("outside.img" in refusal, f"a disk outside of the directory: {refusal or 'it is added'}")
            check(not (refusal := _add_disk(qmp, "d1", "/inside.img")), f"a disk of the directory: {refusal}")


def user_alone_is_given_up(bench):
    """-runas without -chroot: files are where they are, and open to that user or not."""
    bench.scratch.chmod(0o711)
    ours, theirs = _outside(bench), _jail(bench) / "inside.img"
    ours.chmod(0o600)
    with _less_privileged(bench, "-runas", "nobody") as (guest, qmp):
        _check_threads(guest, AS_NOBODY, None)
        refusal = _add_disk(qmp, "d1", ours)
        check("ermission" in refusal, f"a disk that is root's alone: {refusal or 'it is added'}")
        check(not (refusal := _add_disk(qmp, "d1", theirs)), f"a disk of the user's: {refusal}")


def root_directory_alone_is_given_up(bench):
    """-chroot without -runas: the user stays, who gains no privilege either, and finds what is in the directory alone."""
    jail, outside = _jail(bench), _outside(bench)
    with _less_privileged(bench, "-chroot", jail) as (guest, qmp):
        _check_threads(guest, (r"Uid:\t0\t0\t0\t0", r"NoNewPrivs:\t1"), ["inside.img"])
        refusal = _add_disk(qmp, "d1", outside)
        check("outside.img" in refusal, f"a disk outside of the directory: {refusal or 'it is added'}")
        check(not (refusal := _add_disk(qmp, "d1", "/inside.img")), f"a disk of the directory: {refusal}")


def _as_ordinary_user(bench):
    """Returns the words that start a program as nobody, who may use /dev/kvm: by its group or mode where this machine has
    it so, else by a device node of the user's own in its place, which nobody else sees."""
    kvm = os.stat("/dev/kvm")
    group = kvm.st_gid if kvm.st_gid and kvm.st_mode & 0o060 == 0o060 else NOBODY
    words = ["setpriv", "--reuid", NOBODY, "--regid", group, "--clear-groups"]
    if group != NOBODY or kvm.st_mode & 0o006 == 0o006:
        return words
    node = bench.scratch / "kvm"
    os.mknod(node, stat.S_IFCHR | 0o600, kvm.st_rdev)
    os.chown(node, NOBODY, NOBODY)
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/kvm && exec "$@"', node, *words]


def runs_as_an_ordinary_user(bench):
    """Started by a user without any privilege but access to /dev/kvm: the guest boots, its disk works, QMP answers, and
    nothing is warned of."""
    # The build may be where only its owner gets to.
    programs = bench.scratch / "programs"
    (programs / "plugins").mkdir(parents=True)
    for plugin in bench.plugins.glob("*.so"):
        shutil.copy(plugin, programs / "plugins")
    for program in (bench.nacre, bench.guests / "baremetal.elf"):
        shutil.copy(program, programs)
    bench.nacre, bench.plugins, bench.guests = programs / bench.nacre.name, programs / "plugins", programs
    disk = bench.scratch / "own.img"
    disk.write_bytes(b"\x5a" * (8 << 20))
    words = bench.arguments("test=iops,spin n=100 depth=4 every=20000", disk=disk, cpus=2)
    start = []
    if os.geteuid() == 0:
        for path in (bench.scratch, disk):
            os.chown(path, NOBODY, NOBODY)
        start = _as_ordinary_user(bench)
    with _without_leak_search(), bench.run([*start, *words]) as guest, guest.connect() as qmp:
        status = pathlib.Path(f"/proc/{guest.process.pid}/status").read_text()
        for line in (rf"Uid:\t{NOBODY}\t.*" if start else r"Uid:\t[1-9].*", r"Cap(Eff|Prm):\t0{16}", r"Seccomp:\t2"):
            check(re.search(f"^{line}$", status, re.MULTILINE), f"its process is without {line}: {status}")
        guest.until(r"^IOPS n=100 ", bench.seconds(30))
        check(qmp.execute("query-status")["running"], "the guest does not run")
        qmp.execute("quit")
        guest.wait_exit(bench.seconds(5))
        check(not guest.log, f"it said: {guest.log}")


def files_are_closed(bench):
    """-landlock: what the command line names is open, later only what it allows, to be read or written as it says; plugins
    still come. Inherited descriptors that the command line does not name are closed."""
    folders = {name: bench.scratch / name for name in ("read", "write", "other")}
    for folder in folders.values():
        folder.mkdir(exist_ok=True)
        for name in ("disk.img", "second.img", "third.img"):
            (folder / name).write_bytes(bytes(1 << 20))
    single = bench.scratch / "single.img"
    single.write_bytes(bytes(1 << 20))
    more = ["-landlock", folders["read"], "-landlock", f"path={folders['write']},access=rw", "-landlock", single,
            "-drive", "id=handed,file=/dev/fd/8,readonly=on,direct=off"]
    words = bench.arguments("test=iops,spin n=100 depth=4 every=20000", more=more)
    with _without_leak_search(), bench.run(["sh", "-c", 'exec "$@" 8<"$0" 9</dev/null', single, *words]) as guest, \
            guest.connect() as qmp:
        held = {name: os.readlink(f"/proc/{guest.process.pid}/fd/{name}")
                for name in os.listdir(f"/proc/{guest.process.pid}/fd")}
        check(held.get("8") == str(single), f"the descriptor that the command line names is gone: {held}")
        check(held.get("9") != "/dev/null", f"a descriptor that nobody named is kept: {held}")

        def add(name, path, read_only):
            qmp.execute("blockdev-add", **{"node-name": name, "read-only": read_only, "cache": {"direct": False},
                                           "file": {"driver": "file", "filename": str(path)}})

        add("d1", folders["read"] / "disk.img", True)
        add("d2", folders["write"] / "disk.img", False)
        add("d3", folders["read"] / "second.img", True)
        for number, (path, read_only) in enumerate([(folders["other"] / "disk.img", True),
                                                    (folders["read"] / "third.img", False),
                                                    (folders["read"] / ".." / "other" / "disk.img", True)]):
            try:
                add(f"r{number}", path, read_only)
                check(False, f"{path} can be opened, read-only: {read_only}")
            except qmp_client.QmpError as error:
                check("no permission to open" in str(error), f"it says: {error}")
        guest.until(r"^IOPS n=100 ", 30)
        # A plugin that nothing has named so far
        qmp.execute("plugin-load", file=str(bench.plugins / "virtio-rng.so"))
        qmp.execute("quit")
        guest.wait_exit(bench.seconds(5))


# Reads the processor's bits with POPCNT, which KVM's instruction emulator does not know, and sleeps
POPCNT_THEN_SLEEP = bytes.fromhex("f30fb8c0 f4 ebfd")
CODE_ADDRESS = 0x1000000


def _tiny_kernel(path, code):
    """Writes a 64-bit ELF kernel whose code is those bytes."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, CODE_ADDRESS, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0x1000, CODE_ADDRESS, CODE_ADDRESS, len(code), len(code), 0x1000)
    path.write_bytes((header + segment).ljust(0x1000, b"\0") + code)


def kernel_that_a_software_kvm_cannot_execute(bench):
    """It runs, or the VMM says which of its instructions this KVM cannot execute, and where; a reset does not help."""
    kernel = bench.scratch / "popcnt.elf"
    _tiny_kernel(kernel, POPCNT_THEN_SLEEP)
    word, _ = kvm_probe.kind()
    with bench.start("", elf=str(kernel), more=["-S"]) as guest, guest.connect() as qmp:
        qmp.execute("cont")
        if word == "full":
            time.sleep(0.5)
            check(qmp.execute("query-status")["status"] == "running", "the guest does not run")
            guest.terminate()
            return
        qmp.wait_event("STOP", bench.seconds(5))
        status = qmp.execute("query-status")
        check(status == {"running": False, "singlestep": False, "status": "internal-error"},
              f"query-status says {status}")
        wanted = rf"this KVM cannot execute the guest's instruction f3 0f b8 c0.* {CODE_ADDRESS:#x} "
        check(re.search(wanted, guest.log),
              f"the VMM does not say which instruction it was, and where: {guest.log}")
        try:
            qmp.execute("cont")
            raise AssertionError("a guest that cannot go on is resumed")
        except qmp_client.QmpError as error:
            check("system_reset" in error.description, f"cont is refused with: {error.description}")
        qmp.execute("system_reset")
        qmp.wait_event("RESET")
        check(qmp.execute("query-status")["status"] == "paused", "after a reset it is not paused")
        guest.terminate()


CASES = [pause_and_resume_100_times, pause_four_processors, start_paused, stop_with_io_in_flight,
         stop_with_io_in_flight_threads, stop_with_io_in_flight_iothread, quit_while_paused_with_io_in_flight,
         system_reset_under_load, reset_while_paused, reset_and_stop_at_once, reset_and_triple_fault,
         ends_by_triple_fault, ends_by_acpi_sleep, acpi_reset_boots_again, halted_guest_costs_nothing,
         sigterm_ends_in_order, daemon, privileges_are_given_up, user_alone_is_given_up,
         root_directory_alone_is_given_up, runs_as_an_ordinary_user, files_are_closed, kernel_that_a_software_kvm_cannot_execute]
