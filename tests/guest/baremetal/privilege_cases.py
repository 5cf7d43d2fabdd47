"""What a VMM gives up before its guest runs: its user, its root directory, files; and one that has no privilege at all."""

import contextlib
import os
import pathlib
import re
import shutil
import stat
from unittest import mock

import qmp_client
from guest_vm import check


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
        said = [line for line in guest.log.splitlines() if "held vCPU" not in line]  # which is a busy host's affair
        check(not said, f"it said: {said}")


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


CASES = [privileges_are_given_up, user_alone_is_given_up, root_directory_alone_is_given_up,
         runs_as_an_ordinary_user, files_are_closed]
