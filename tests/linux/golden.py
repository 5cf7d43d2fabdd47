"""What a guest sees of its machine, held against a file: it changes on purpose only.

A failure shows the difference in the form that `patch -p1` takes at the root of the repository; update-golden does that.
"""

import base64
import difflib
import gzip
import io
import pathlib
import re
import subprocess
import tarfile
import tempfile
import zlib

FOLDER = pathlib.Path(__file__).resolve().parent / "golden"
# By way of the console, where the fewer bytes the better, and on which the kernel is quiet meanwhile
FILES = ("read -r level _ </proc/sys/kernel/printk; dmesg -n 1; rm -rf /tmp/golden; mkdir -p "
         "/tmp/golden/acpi /tmp/golden/pci; cp /sys/firmware/acpi/tables/[A-Z]* /tmp/golden/acpi; "
         "for each in /sys/bus/pci/devices/*; do [ -e $each ] && cat $each/config >/tmp/golden/pci/${each##*/}; done; "
         "cd /tmp/golden; cat /proc/iomem /proc/ioports >addresses; dmesg >dmesg; cd /; "
         "tar -C /tmp/golden -cf - . | gzip -9 | base64; rm -r /tmp/golden; "
         "echo $level >/proc/sys/kernel/printk")
# What the kernel says of a machine by itself, before any driver's module is there
OF_THE_MACHINE = re.compile(
    r"BIOS-e820: |ACPI: |SRAT: |SLIT: |NUMA: |Faking a node|Early memory node ranges|  node +\d+: |Initmem setup node|"
    r"IOAPIC\[|PM: hibernation: Registered nosave|smpboot: Allowing|pci_bus |pci \d|PCI: |acpi PNP|pnp |system \d|"
    r"\w\w:\w\w: ttyS|serial8250: |rtc_cmos |Hypervisor detected|found SMP MP-table|Intel MultiProcessor|SMBIOS|"
    r"i8042|pcieport ")
# What it says beside of the time, a quirk that took long on a busy host among it
OF_THE_TIME = re.compile(r"rtc_cmos .* setting system clock|pci .* took \d+ usecs")
TROUBLE = re.compile(r"ACPI (BIOS )?(Error|Warning|Exception)|BIOS (Error|Bug)|Firmware (Bug|Error|Warn)")
TRIES = 3  # of having the files
KNOWN_TROUBLE = ()  # regular expressions of whole lines that no table can avoid


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


def _in_words(functions):
    """What `lspci -vv` says of those bytes, by numbers: names would be those of its data base."""
    if not functions.strip():
        return ""
    dump, offset = [], 0
    for line in functions.splitlines():
        if re.fullmatch(r"\w{4}:\w\w:\w\w\.\w", line):
            dump.append(f"{line} -")
            offset = 0
        else:
            dump.append(f"{offset:02x}: {line}")
            offset += 16
    with tempfile.NamedTemporaryFile("w") as file:
        file.write("\n".join(dump) + "\n")
        file.flush()
        done = subprocess.run(["lspci", "-F", file.name, "-vv", "-n"], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"lspci finds fault with the functions: {done.stderr}")
    return re.sub(r"\b[0-9a-f]{10,}(-[0-9a-f]{10,})?\b", "HIGH", done.stdout)  # of the window above 4 GiB


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


def _source(folder, name):
    """The source of a table by iasl, without what differs with every byte of it; fails where iasl finds fault."""
    for words in (["-d", f"{name}.dat"], [f"{name}.dsl"]):
        done = subprocess.run(["iasl", *words], cwd=folder, capture_output=True, text=True)
        said = done.stdout + done.stderr
        faults = [line for line in said.splitlines() if re.search(r"^(Error|Warning)|\bERROR\b", line)]
        if done.returncode != 0 or faults or (words[0] != "-d" and "0 Errors, 0 Warnings" not in said):
            raise AssertionError(f"iasl finds fault with {name}:\n{said}")
    text = re.sub(r"/\*.*?\*/", "", (folder / f"{name}.dsl").read_text(), flags=re.DOTALL)
    text = re.sub(r"^Raw Table Data.*", "", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"Package \((\w+)\)\s*\{([^{}]*)\}", lambda match: f"Package ({match[1]}) {{" +
                  " ".join(match[2].split()) + "}", text)
    for line in text.splitlines():
        line = re.sub(r" *//.*", "", line).rstrip()
        if line.strip() and "hecksum" not in line:
            yield line


def _files(guest):
    """{path: bytes}: the guest's ACPI tables (acpi/), its PCI functions' configuration (pci/), addresses, dmesg."""
    for number in range(1, TRIES + 1):
        said = guest.command(FILES, 60)
        try:
            archive = gzip.decompress(base64.b64decode("".join(said.split()), validate=True))
            break
        except (ValueError, EOFError, OSError, zlib.error) as error:  # a message of the kernel's is among it
            if number == TRIES:
                odd = [line for line in said.splitlines() if not re.fullmatch(r"[\w+/=]*", line)]
                raise AssertionError(f"the guest's files do not come whole: {error}; among them: {odd}") from error
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {each.name.removeprefix("./"): tar.extractfile(each).read() for each in tar if each.isfile()}


def _below(files, folder):
    return {name.removeprefix(folder): files[name] for name in sorted(files) if name.startswith(folder)}


def _functions(files):
    """Each function's address, and its configuration in rows of 16 bytes."""
    for name, data in _below(files, "pci/").items():
        yield name
        yield from (data[at:at + 16].hex(" ") for at in range(0, len(data), 16))


def _sources(files):
    """{name: source} of the ACPI tables; fails where iasl finds fault with one."""
    tables = _below(files, "acpi/")
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        for name, data in tables.items():
            (folder / f"{name}.dat").write_bytes(data)
        return {name: "\n".join(_source(folder, name)) for name in tables}


def _story(log):
    """What the kernel says of the machine, without times; fails where it finds fault with the tables."""
    lines = [re.sub(r"^\[ *[\d.]+\] ", "", line).rstrip() for line in log.splitlines()]
    bad = [line for line in lines if TROUBLE.search(line) and not any(re.fullmatch(one, line) for one in KNOWN_TROUBLE)]
    if bad:
        raise AssertionError("the kernel finds fault with the machine:\n" + "\n".join(bad))
    yield "== dmesg"
    yield from (line for line in lines if OF_THE_MACHINE.match(line) and not OF_THE_TIME.match(line))


def check_tables(guest):
    """Fails where iasl finds fault with the ACPI tables that the guest, at its prompt, has, or its kernel does; returns
    {name: source}."""
    files = _files(guest)
    list(_story(files["dmesg"].decode(errors="replace")))
    return _sources(files)


def compare(guest, name):
    """Fails where the guest, at its prompt, sees another machine than the file of that name says, where iasl finds fault
    with its ACPI tables, or its kernel does."""
    files = _files(guest)
    functions = "\n".join(_functions(files))
    tables = [f"== {table}\n{source}" for table, source in _sources(files).items()]
    text = "\n".join([functions, "== lspci -vv", _in_words(functions), "== addresses", files["addresses"].decode().strip(),
                      *_story(files["dmesg"].decode(errors="replace")), *tables])
    found = _plain(text)
    path = FOLDER / f"{name}.txt"
    expected = path.read_text() if path.exists() else ""
    if found != expected:
        label = f"tests/linux/golden/{path.name}"
        difference = difflib.unified_diff(expected.splitlines(), found.splitlines(), f"a/{label}", f"b/{label}",
                                          lineterm="")
        raise AssertionError("the guest sees another machine:\n" + "\n".join(difference))
