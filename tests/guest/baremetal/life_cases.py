"""Pausing, resetting and ending a guest, by QMP, by the guest itself and by a signal; and a guest that cannot run."""

import os
import pathlib
import re
import signal
import struct
import subprocess
import time

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
         sigterm_ends_in_order, daemon, kernel_that_a_software_kvm_cannot_execute]
