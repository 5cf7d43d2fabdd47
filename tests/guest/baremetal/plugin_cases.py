"""Plugin files that come, change and go while a guest runs."""

import contextlib
import hashlib
import shutil

import qmp_client
from guest_vm import check
from plugin_files import as_version, install

VERSION = "1.2"  # of the fixtures
TREE_VERSION = "0.1.0"


def _fixture(bench, name):
    return (bench.guests.parent / "plugins/fixtures" / f"fixture-{name}.so").read_bytes()


@contextlib.contextmanager
def _spin(bench, more=(), plugins=None):
    """A guest that runs and a connection; plugins may come into the directory `hot`."""
    bench.hot = bench.scratch / "hot"
    bench.hot.mkdir()
    if plugins:
        bench.plugins = plugins
    with bench.start("test=spin every=20000", more=["-plugin-dir", bench.hot, *more]) as guest, guest.connect() as qmp:
        yield guest, qmp
        if guest.process.poll() is None:
            guest.check_alive()
            guest.terminate()


def _add(qmp, name, driver="test-good", **more):
    qmp.execute("device_add", {"id": name, "driver": driver, **more})


def _refused(qmp, words, command, arguments):
    """The command fails, and says all of the words."""
    try:
        qmp.execute(command, arguments)
    except qmp_client.QmpError as error:
        for word in words:
            check(word in error.description, f"{command} says '{error.description}', without '{word}'")
        return error.description
    raise AssertionError(f"{command} {arguments} is accepted")


def _not_added(qmp, *words, driver="test-good"):
    return _refused(qmp, words, "device_add", {"id": "no", "driver": driver})


def _told(qmp):
    """Returns the plugins' events that have come since the last call, in their order."""
    qmp.execute("query-status")  # those of a command follow its answer
    told = [event for event in qmp.events if event["event"].startswith("PLUGIN_")]
    qmp.events.clear()
    return told


def _listed(qmp, path):
    """Returns [(version, state, devices)] of the files of that path."""
    return [(entry["version"], entry["state"], entry["devices"]) for entry in qmp.execute("query-plugins")
            if entry["path"] == str(path)]


def device_of_a_new_file(bench):
    """A driver that is not there, one whose file is of no use, and one that has come."""
    with _spin(bench) as (_, qmp):
        _not_added(qmp, "is not provided by any plugin", "Searched: ", str(bench.hot))
        check(not _told(qmp), "events about no plugin")
        path = bench.hot / "test-good.so"
        install(b"a text", path)
        _not_added(qmp, str(path), "was rejected: it is not an ELF file.")
        check([(event["event"], event["data"]["path"]) for event in _told(qmp)] == [("PLUGIN_REJECTED", str(path))],
              "no event tells of the rejection")
        install(_fixture(bench, "good"), path)
        _add(qmp, "g0")
        told = _told(qmp)
        check([event["event"] for event in told] == ["PLUGIN_LOADED"] and told[0]["data"] == {
            "id": "org.nacre.test.good", "version": VERSION, "path": str(path), "drivers": ["test-good"]},
              f"the events are {told}")
        check(_listed(qmp, path) == [(VERSION, "initialised", 1)], f"query-plugins says {_listed(qmp, path)}")
        qmp.execute("device_del", id="g0")


def newer_file_beside_the_old(bench):
    """One renamed over the other, then one of another name: old devices keep their code and can go."""
    with _spin(bench) as (_, qmp):
        path, second = bench.hot / "x.so", bench.hot / "y.so"
        install(_fixture(bench, "good"), path)
        _add(qmp, "old")
        install(as_version(_fixture(bench, "good"), VERSION, "1.3"), path)
        _add(qmp, "new")
        _add(qmp, "newer")
        check(_listed(qmp, path) == [(VERSION, "superseded", 1), ("1.3", "initialised", 2)], f"{_listed(qmp, path)}")
        install(as_version(_fixture(bench, "good"), VERSION, "1.1"), second)
        _refused(qmp, ["1.1, which is not newer"], "plugin-load", {"file": str(second)})
        install(as_version(_fixture(bench, "good"), VERSION, "1.4"), second)
        check(qmp.execute("plugin-load", file=str(second)) == {"id": "org.nacre.test.good"}, "plugin-load's answer")
        _add(qmp, "newest")
        check([entry for entry in _listed(qmp, path) + _listed(qmp, second)] ==
              [(VERSION, "superseded", 1), ("1.3", "superseded", 2), ("1.4", "initialised", 1)], "three images")
        check([event["event"] for event in _told(qmp)] == ["PLUGIN_LOADED"] * 2 + ["PLUGIN_REJECTED", "PLUGIN_LOADED"],
              "the events")
        for name in ("old", "newest", "new", "newer"):
            qmp.execute("device_del", id=name)
        check({devices for _, _, devices in _listed(qmp, path)} == {0}, "devices are left")


def disabled_and_enabled_again(bench):
    with _spin(bench) as (_, qmp):
        path = bench.hot / "x.so"
        install(_fixture(bench, "good"), path)
        _add(qmp, "g0")
        plugin = {"id": "org.nacre.test.good"}
        _refused(qmp, ["is in use: 1 of its devices exist. Remove them first, with device_del."], "plugin-disable",
                 plugin)
        qmp.execute("device_del", id="g0")
        said = qmp.execute("plugin-disable", plugin)["message"]
        check(said == "plugin code stays mapped until exit; all 0 devices of 'org.nacre.test.good' are gone and its "
              "name is free for another file.", f"plugin-disable says: {said}")
        _not_added(qmp, "which was disabled")
        qmp.execute("plugin-load", file=str(path))
        _add(qmp, "g1")
        qmp.execute("device_del", id="g1")
        qmp.execute("plugin-disable", plugin)
        install(as_version(_fixture(bench, "good"), VERSION, "1.0"), bench.hot / "y.so")
        _add(qmp, "g2")
        check(_listed(qmp, path) == [(VERSION, "disabled", 0)], "the disabled one")
        for machine in ("org.nacre.microvm", "org.nacre.virtio-blk"):
            _refused(qmp, ["is in use"], "plugin-disable", {"id": machine})


def failures_are_told(bench):
    """A plugin that throws takes its device with it and nothing else; one that does not start stays out."""
    with _spin(bench) as (_, qmp):
        for name, words in (("throws", "threw in realize(): \"out of paper\""), ("words", "the licence has run out")):
            install(_fixture(bench, name), bench.hot / f"{name}.so")
            said = _not_added(qmp, words, driver=f"test-{name}")
            failed = [event["data"] for event in _told(qmp) if event["event"] == "PLUGIN_FAILED"]
            check(failed == [{"id": f"org.nacre.test.{name}", "path": str(bench.hot / f"{name}.so"), "reason": said}],
                  f"PLUGIN_FAILED says {failed}")


def disks_of_a_newer_plugin(bench):
    """A package brings a newer virtio-blk: new disks and the slots of disks that go are its, the first disk is not."""
    own = bench.scratch / "own"
    for path in bench.plugins.glob("*.so"):
        install(path.read_bytes(), own / path.name)
    with _spin(bench, plugins=own) as (_, qmp):
        path = own / "virtio-blk.so"
        check(_listed(qmp, path) == [(TREE_VERSION, "initialised", 6)], f"at the start: {_listed(qmp, path)}")
        install(as_version(path.read_bytes(), TREE_VERSION, "0.2.0"), path)
        qmp.execute("blockdev-add", {"node-name": "d1", "file": {"driver": "file", "filename": str(bench.disk("d1"))},
                                     "cache": {"direct": False}})
        _add(qmp, "d1", "virtio-blk-mmio")
        check(_listed(qmp, path) == [(TREE_VERSION, "superseded", 5), ("0.2.0", "initialised", 1)],
              f"with a new disk: {_listed(qmp, path)}")
        qmp.execute("device_del", id="d1")
        qmp.execute("device_del", id="rootfs")
        check(_listed(qmp, path) == [(TREE_VERSION, "superseded", 4), ("0.2.0", "initialised", 2)],
              f"without disks: {_listed(qmp, path)}")


def overwritten_file(bench):
    """Writing into a mapped file is found out before the next device is made, and blamed where the process dies of it."""
    with _spin(bench) as (guest, qmp):
        path = bench.hot / "x.so"
        install(_fixture(bench, "good"), path)
        _add(qmp, "g0")
        _told(qmp)
        guest.may_crash = True
        path.write_bytes(b"")
        said = _not_added(qmp, "was overwritten while its code was in use", "rename")
        check([(event["event"], event["data"]["reason"]) for event in _told(qmp)] == [("PLUGIN_FAILED", said)],
              "the event")
        check(_listed(qmp, path) == [(VERSION, "failed", 1)], f"query-plugins says {_listed(qmp, path)}")
        try:
            qmp.execute("device_del", id="g0")
        except qmp_client.QmpFailure:
            pass
        guest.process.wait(bench.seconds(10))
        check(guest.process.returncode != 0, "the VMM ends as if nothing had been")
        check("fatal: " in guest.log and " of x.so" in guest.log and
              "The file x.so was overwritten while its code was in use" in guest.log, f"it says: {guest.log}")


def sealed_copies(bench):
    """With -plugin-seal nothing happens to who has a device of an overwritten file."""
    with _spin(bench, ["-plugin-seal"]) as (_, qmp):
        path = bench.hot / "x.so"
        install(_fixture(bench, "good"), path)
        _add(qmp, "g0")
        path.write_bytes(b"")
        _add(qmp, "g1")
        for name in ("g0", "g1"):
            qmp.execute("device_del", id=name)


def allowed_files_only(bench):
    def digest(data):
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    tree = [digest(path.read_bytes()) for path in bench.plugins.glob("*.so")]
    with _spin(bench, [word for one in tree for word in ("-plugin-allow", one)]) as (_, qmp):
        good = _fixture(bench, "good")
        install(good, bench.hot / "test-good.so")
        _not_added(qmp, "is not one of the allowed files", f"pass -plugin-allow {digest(good)}")
    shutil.rmtree(bench.hot)
    with _spin(bench, [word for one in [*tree, digest(good)] for word in ("-plugin-allow", one)]) as (_, qmp):
        install(good, bench.hot / "test-good.so")
        _add(qmp, "g0")


CASES = [device_of_a_new_file, newer_file_beside_the_old, disabled_and_enabled_again, failures_are_told,
         disks_of_a_newer_plugin, overwritten_file, sealed_copies, allowed_files_only]
