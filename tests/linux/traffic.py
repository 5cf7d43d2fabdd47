"""What a guest needs to move traffic: iperf3 with its libraries, as an archive that follows its initramfs."""

import re

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
