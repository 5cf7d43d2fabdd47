"""Traffic between a guest and its host: iperf3 for the guest, with its libraries, as an archive that follows its
initramfs; and pings from the host."""

import os
import re
import socket
import struct
import subprocess
import threading
import time

import guest_files
import newc


def archive():
    """Returns the bytes of an initramfs archive with /bin/iperf3. Raises FileNotFoundError where it is not installed."""
    program, *libraries = guest_files.program_files("iperf3")
    made = newc.Archive()
    made.program("bin/iperf3", program.read_bytes())
    for path in libraries:
        made.program(str(path).lstrip("/"), path.read_bytes())
    return made.finish()


def megabits(said):
    """Returns the Mbit/s that the receiver counted, out of what `iperf3 -f m` has said; 0 where it said nothing."""
    rates = re.findall(r"([\d.]+) Mbits/sec.*receiver", said)
    return float(rates[-1]) if rates else 0.0


def connect_host():
    """Gives the host, which has none, an interface with the addresses 192.0.2.10 and 198.51.100.1 and a way out by it, as
    passt needs one. Once is enough. Needs root and the module dummy."""
    if os.path.exists("/sys/class/net/dummy0"):
        return
    for words in ("link add dummy0 type dummy", "address add 192.0.2.10/24 dev dummy0", "address add 198.51.100.1/32 dev dummy0",
                  "link set dummy0 up", "route add default via 192.0.2.1"):
        subprocess.run(["ip", *words.split()], check=True)


class Flood:
    """Pings an address from a thread, each time a reply comes and at least every 5 ms, until the end of the with.
    `sent` and `received` count them. Needs root."""

    PAUSE, PIECE = 0.005, 1000

    def __init__(self, address):
        self.address = address
        self.sent = self.received = 0
        self._identity = id(self) & 0xFFFF
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.settimeout(self.PAUSE)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def wait(self, count, seconds):
        """Waits until `count` more have come back; returns whether they have."""
        wanted, deadline = self.received + count, time.monotonic() + seconds
        while self.received < wanted and time.monotonic() < deadline:
            time.sleep(0.001)
        return self.received >= wanted

    def once(self, seconds):
        """Waits for one ping that is sent from now on to come back; returns whether it has."""
        return self.wait(2, seconds)  # the first may have been on its way

    def _echo(self):
        body = struct.pack("!HH", self._identity, self.sent & 0xFFFF) + bytes(56)
        total = sum(struct.unpack(f"!{len(body) // 2}H", body)) + 0x0800
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        return struct.pack("!BBH", 8, 0, ~total & 0xFFFF) + body

    def _run(self):
        while not self._ended.is_set():
            try:
                self._socket.sendto(self._echo(), (self.address, 0))
                self.sent += 1
            except OSError:
                time.sleep(self.PAUSE)  # the way there is down
            try:
                while True:
                    packet = self._socket.recv(self.PIECE)
                    at = (packet[0] & 15) * 4
                    if packet[at] == 0 and struct.unpack_from("!H", packet, at + 4)[0] == self._identity:
                        self.received += 1
                        break
            except OSError:
                pass
