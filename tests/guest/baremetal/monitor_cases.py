"""QMP while a guest runs: several clients, bad clients, and sockets that are there already."""

import json
import os
import socket
import time

import qmp_client
from guest_vm import Guest, check, run_refused

QUERIES = ("query-status query-version query-commands query-kvm query-machines query-target query-qmp-schema "
           "query-plugins query-cpus query-hotpluggable-cpus query-iothreads query-block qom-list-types query-events "
           "query-named-block-nodes query-blockstats query-block-jobs query-mem query-tpm-models query-tpm-types "
           "query-gic-capabilities query-migrate-capabilities query-sev-capabilities "
           "query-command-line-options query-migrate").split()


def _spin(bench):
    return bench.start("test=spin every=20000")


def _still_good(guest, qmp):
    check(qmp.execute("query-status")["running"], "another client suffered: query-status does not say 'running'")
    guest.check_alive()


def two_clients(bench):
    """Both are answered, and both hear of events."""
    with _spin(bench) as guest, guest.connect() as first, guest.connect() as second:
        for _ in range(20):
            first.execute("query-status")
            second.execute("query-version")
        first.execute("stop")
        first.wait_event("STOP")
        second.wait_event("STOP")
        second.execute("cont")
        first.wait_event("RESUME")
        _still_good(guest, first)
        guest.terminate()


def every_query(bench):
    with _spin(bench) as guest, guest.connect() as qmp:
        for query in QUERIES:
            qmp.execute(query)
        qmp.execute("device-list-properties", typename="virtio-blk-device")
        check({entry["id"] for entry in qmp.execute("query-plugins") if entry["state"] != "rejected"},
              "query-plugins names none")
        try:
            qmp.execute("query-statu")
            raise AssertionError("an unknown command is accepted")
        except qmp_client.QmpError as error:
            check(error.error_class == "CommandNotFound", f"an unknown command gets the class {error.error_class}")
        guest.terminate()


def ids_and_line_ends(bench):
    """Any JSON comes back as the id; lines end in CR LF; qmp_capabilities is not demanded."""
    with _spin(bench) as guest, guest.connect(negotiate=False) as qmp:
        for identity in ("a", 7, None, [1, {"x": []}], {"k": "v"}, 1.5, True):
            qmp.send(json.dumps({"execute": "query-status", "id": identity}).encode() + b"\n")
            answer = qmp.receive()
            check(answer.get("id", "missing") == identity and "return" in answer, f"id {identity!r} gives {answer}")
        with _raw(bench) as raw:
            greeting = _line(raw)
            check(greeting.endswith(b"\r\n"), "the greeting does not end in CR LF")
            version = json.loads(greeting)["QMP"]["version"]["qemu"]
            check(version["major"] >= 5, f"the greeting's QEMU version is {version}")
        guest.terminate()


def _raw(bench):
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    raw.connect(os.fspath(bench.qmp_path))  # waits while the queue of connections is full
    raw.settimeout(bench.seconds(10))
    return raw


def _line(raw):
    data = b""
    while not data.endswith(b"\n"):
        chunk = raw.recv(65536)
        if not chunk:
            break
        data += chunk
    return data


def _send_all(raw, data):
    """Sends what the server takes; returns False where it drops the connection."""
    try:
        raw.sendall(data)
        return True
    except (BrokenPipeError, ConnectionResetError):
        return False


def _outcome(raw):
    """Returns the next line of the server, or b"" where it has dropped the connection."""
    try:
        return _line(raw)
    except ConnectionResetError:
        return b""


def _bad_input(bench, data):
    """Sends bad bytes on a connection of its own: an error or the end of that connection, and nothing else suffers."""
    with _spin(bench) as guest, guest.connect() as qmp, _raw(bench) as raw:
        _line(raw)
        taken = _send_all(raw, data)
        answer = _outcome(raw) if taken else b""
        check(not answer or b'"error"' in answer, f"bad input gets {answer[:200]!r}")
        _still_good(guest, qmp)
        guest.terminate()


def garbage(bench):
    for data in (b"\x00\xff\xfe\x01garbage\r\n", b"{]\n", b"nonsense\n", b'"text"\n', b"[1,2]\n", b'{"execute":7}\n',
                 b'{"execute":"query-status","arguments":[]}\n', b'{"execute":"query-status","more":1}\n',
                 b'{"execute":"query-status","arguments":{"x":1}}\n', b'{"execute":"\xc3\x28"}\n'):
        with bench.start("test=spin every=20000", more=["-S"]) as guest, guest.connect() as qmp, _raw(bench) as raw:
            _line(raw)
            _send_all(raw, data)
            answer = _outcome(raw)
            check(not answer or b'"error"' in answer, f"{data!r} gets {answer[:200]!r}")
            check(qmp.execute("query-status")["status"] == "paused", f"after {data!r} another client suffers")
            guest.terminate()


def half_a_line(bench):
    """Half a command keeps nobody waiting, and its end may come later."""
    with _spin(bench) as guest, guest.connect() as qmp:
        with _raw(bench) as raw:
            _line(raw)
            raw.sendall(b'{"execute": "query-')
            _still_good(guest, qmp)
            raw.sendall(b'status"}\n')
            check(b'"return"' in _line(raw), "a command in two halves gets no answer")
        with _raw(bench) as raw:
            raw.sendall(b'{"execute": "quit')
        time.sleep(0.1)
        _still_good(guest, qmp)
        guest.terminate()


def ten_megabytes_without_newline(bench):
    with _spin(bench) as guest, guest.connect() as qmp, _raw(bench) as raw:
        _line(raw)
        before = guest.memory()["Rss"]
        most = before
        for _ in range(10):
            if not _send_all(raw, b"x" * (1 << 20)):
                break
            most = max(most, guest.memory()["Rss"])
        check(most - before < 4096 * bench.patience, f"the VMM grew by {most - before} KiB")
        _still_good(guest, qmp)
        guest.terminate()


def nested_brackets(bench):
    _bad_input(bench, b'{"execute":' + b"[" * 200000 + b"\n")


def nested_objects(bench):
    _bad_input(bench, b'{"a":' * 100000 + b"\n")


def client_that_never_reads(bench):
    """Answers that nobody takes are not collected without end, and others are served."""
    with _spin(bench) as guest, guest.connect() as qmp, _raw(bench) as raw:
        before = guest.memory()["Rss"]
        raw.settimeout(0.5)
        try:
            for _ in range(20000):
                raw.sendall(b'{"execute":"query-qmp-schema"}\n')
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            pass
        grown = guest.memory()["Rss"] - before
        check(grown < 16384 * bench.patience, f"the VMM grew by {grown} KiB for a client that does not read")
        _still_good(guest, qmp)
        guest.terminate()


def _clients_that_go(bench, data):
    """They send it and hang up at once."""
    with _spin(bench) as guest, guest.connect() as qmp:
        for _ in range(50):
            with _raw(bench) as raw:
                raw.sendall(data)
        _still_good(guest, qmp)
        guest.terminate()


def client_that_goes_in_the_middle(bench):
    _clients_that_go(bench, b'{"execute":"query-commands"}\n' * 20)


def client_that_goes_before_its_commands_are_done(bench):
    """Their events find it gone while the next command waits for the vCPUs."""
    _clients_that_go(bench, b'{"execute":"stop"}{"execute":"cont"}' * 3)


def stale_socket_is_replaced(bench):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(os.fspath(bench.qmp_path))
    with _spin(bench) as guest, guest.connect() as qmp:
        _still_good(guest, qmp)
        guest.terminate()


def live_socket_is_refused(bench):
    with _spin(bench) as guest, guest.connect() as qmp:
        sentence = run_refused(bench.arguments("test=spin", disk=bench.disk("other.img")), bench.seconds(10))
        check(str(bench.qmp_path) in sentence, f"the sentence does not name the socket: {sentence}")
        _still_good(guest, qmp)
        guest.connect().close()
        guest.terminate()


def tcp_socket(bench):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    argv = bench.arguments("test=spin every=20000")
    argv[argv.index("-qmp") + 1] = f"tcp:127.0.0.1:{port},server,nowait"
    with Guest(bench, argv) as guest, qmp_client.Qmp(("127.0.0.1", port), timeout=bench.seconds(10)) as qmp:
        _still_good(guest, qmp)
        guest.terminate()


CASES = [two_clients, every_query, ids_and_line_ends, garbage, half_a_line, ten_megabytes_without_newline,
         nested_brackets, nested_objects, client_that_never_reads, client_that_goes_in_the_middle,
         client_that_goes_before_its_commands_are_done,
         stale_socket_is_replaced, live_socket_is_refused, tcp_socket]
