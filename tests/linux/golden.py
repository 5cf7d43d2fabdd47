"""What a guest sees of its machine, held against a file: it changes on purpose only.

A failure shows the difference in the form that `patch -p1` takes at the root of the repository.
"""

import difflib
import pathlib
import re

FOLDER = pathlib.Path(__file__).resolve().parent / "golden"
PCI_FUNCTIONS = ("cd /sys/bus/pci/devices; for each in *; do echo $each; "
                 "head -c 256 $each/config | hexdump -v -e '16/1 \"%02x \" \"\\n\"'; done; cd /")
ADDRESSES = "cat /proc/iomem /proc/ioports"
TABLES = "cd /sys/firmware/acpi/tables; for each in *; do [ -f $each ] && echo $each $(wc -c <$each); done; cd /"


def _with_offsets(lines, upper):
    """Rows of configuration space with where they stand, without those of zeroes; `upper` is the upper half of an
    address that is the host's."""
    offset = 0
    for line in lines:
        if re.fullmatch(r"(\w\w ){15}\w\w", line):
            if line.strip("0 "):
                words = [line[at:at + 11] for at in range(0, 48, 12)]
                yield f"  {offset:02x}: " + " ".join("HH HH HH HH" if word == upper else word for word in words)
            offset += 16
        else:
            offset = 0
            yield line


def _plain(text):
    """Without what is of the kernel's build, and of the host's processor: the window above 4 GiB."""
    lines = [line.rstrip() for line in text.splitlines() if not re.search(r": Kernel (code|rodata|data|bss)$", line)]
    high = re.search(r"^(\w{10,})-\w{10,} : PCI Bus 0000:00$", text, re.MULTILINE)
    if not high:
        return "\n".join(_with_offsets(lines, "")) + "\n"
    base = int(high[1], 16)

    def relative(match):
        return f"HIGH+{int(match[1], 16) - base:x}-HIGH+{int(match[2], 16) - base:x}"

    text = "\n".join(_with_offsets(lines, (base >> 32).to_bytes(4, "little").hex(" "))) + "\n"
    text = text.replace(high[0], "HIGH : PCI Bus 0000:00")
    return re.sub(r"\b(\w{10,})-(\w{10,})(?= : )", relative, text)


def compare(guest, name):
    """Fails where the guest, at its prompt, sees another machine than the file of that name says."""
    found = _plain("\n".join(guest.command(command) for command in (PCI_FUNCTIONS, ADDRESSES, TABLES)))
    path = FOLDER / f"{name}.txt"
    expected = path.read_text() if path.exists() else ""
    if found != expected:
        label = f"tests/linux/golden/{path.name}"
        difference = difflib.unified_diff(expected.splitlines(), found.splitlines(), f"a/{label}", f"b/{label}",
                                          lineterm="")
        raise AssertionError("the guest sees another machine:\n" + "\n".join(difference))
