"""What a guest needs to move traffic: iperf3 with its libraries, as an archive that follows its initramfs."""

import pathlib
import re
import shutil
import subprocess

import newc


class NoTraffic(AssertionError):
    """iperf3 is not installed here."""


def archive():
    """Returns the bytes of an initramfs archive with /bin/iperf3. Raises NoTraffic."""
    program = shutil.which("iperf3")
    if not program:
        raise NoTraffic("iperf3 is not installed: run packaging/install-deps")
    listed = subprocess.run(["ldd", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    made = newc.Archive()
    made.program("bin/iperf3", pathlib.Path(program).read_bytes())
    for path in re.findall(r"(/\S+) \(0x", listed):
        made.program(path.lstrip("/"), pathlib.Path(path).read_bytes())
    return made.finish()


def megabits(said):
    """Returns the Mbit/s that the receiver counted, out of what `iperf3 -f m` has said; 0 where it said nothing."""
    rates = re.findall(r"([\d.]+) Mbits/sec.*receiver", said)
    return float(rates[-1]) if rates else 0.0
