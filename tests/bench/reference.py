"""Other VMMs' figures on the same guest, as measured on Debian 12 with the method of `run`, to print beside ours.

They come from single runs on one two-core x86-64 machine: sizes, not limits. Times to the first line are the best of
two runs after a warm-up; memory is beyond guest RAM of a 128 MiB guest.
"""

SOURCE = "measured earlier, by the same method"

# name: CPU ms, wall ms to the first answer
START = {"Firecracker 1.17-dev, no machine yet": (2.1, 2.8), "Cloud Hypervisor 53, no machine yet": (3.7, 4.3),
         "StratoVirt 2.5.0 microvm": (25.8, 34.5), "QEMU 7.2 microvm": (26.1, 33.6)}

# name: seconds to the first user-space line, guest uptime then
BOOT = {"Firecracker 1.17-dev, vmlinux": (1.40, 1.27), "Cloud Hypervisor 53, vmlinux": (1.43, 1.28),
        "kvmtool, bzImage": (1.61, 1.34), "StratoVirt 2.5.0 q35, bzImage": (1.66, 1.33),
        "QEMU 7.2 q35, bzImage": (1.90, 1.48), "QEMU 7.2 microvm, vmlinux": (3.09, 2.49)}

# name: RSS, private MiB, threads
MEMORY = {"Firecracker 1.17-dev": (6.1, 4.6, 2), "Cloud Hypervisor 53": (6.7, 5.1, 6),
          "kvmtool (static)": (2.2, 2.2, 8), "StratoVirt 2.5.0 q35": (9.5, 8.0, 2), "QEMU 7.2 q35": (49.3, 47.3, 4),
          "QEMU 7.2 microvm": (51.8, 49.9, 4)}

# name: us a 4 KiB direct read at depth 1 and 8
IO = {"Firecracker 1.17-dev": (53.9, 54.2), "Cloud Hypervisor 53": (53.0, 47.7), "kvmtool": (41.9, 42.2),
      "StratoVirt 2.5.0 q35": (41.1, None), "QEMU 7.2 q35": (79.7, 53.2), "QEMU 7.2 microvm": (110, 111)}


def _number(value):
    return "-" if value is None else f"{value:g}"


def show(section, line):
    """Prints the section's rows with `line`."""
    print(f"  others ({SOURCE}):")
    rows = {"start": START, "boot": BOOT, "memory": MEMORY, "io": IO}[section]
    for name, values in rows.items():
        if section == "memory":
            values = (values[0], None, *values[1:])
        line(name, *map(_number, values))
