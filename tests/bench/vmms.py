"""The programs that are compared, and the command line on which each runs the same guest."""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "linux"))

APPEND = "console=ttyS0 reboot=t panic=-1 quiet"


class Guest:
    """What is started: files, memory, and what is to be left out."""

    def __init__(self, kernel, disk=None, initrd=None, append="", memory=256, cpus=1, paused=False,
                 tap="", vhost=False, balloon=False, queues=1, rng=False):
        self.kernel, self.disk, self.initrd, self.append = kernel, disk, initrd, append
        self.memory, self.cpus, self.paused, self.balloon = memory, cpus, paused, balloon
        self.queues, self.rng = queues, rng
        self.tap, self.vhost = tap, "on" if vhost else "off"


class Nacre:
    def __init__(self, binary, plugins, machine="microvm"):
        self.binary, self.plugins, self.machine = str(binary), str(plugins), machine
        self.name = "Nacre" + ("" if machine == "microvm" else f" {machine}")
        self.bus = "device" if machine == "microvm" else "pci"

    def command(self, guest, qmp):
        words = [self.binary, "-machine", self.machine, "-smp", str(guest.cpus), "-m", f"{guest.memory}M",
                 "-kernel", str(guest.kernel), "-append", f"{APPEND} {guest.append}",
                 "-qmp", f"unix:{qmp},server,nowait", "-serial", "stdio", "-plugin-dir", self.plugins]
        if guest.initrd:
            words += ["-initrd", str(guest.initrd)]
        if guest.disk:
            words += ["-drive", f"id=rootfs,file={guest.disk},direct=off",
                      "-device", f"virtio-blk-{self.bus},drive=rootfs,id=rootfs,num-queues={guest.queues}"]
        if guest.rng:
            words += ["-object", "rng-random,id=random,filename=/dev/urandom",
                      "-device", f"virtio-rng-{self.bus},rng=random,id=rng"]
        if self.bus == "pci":
            words += ["-device", "pcie-root-port,id=rp0,bus=pcie.0,port=1,fast-unplug=on"]
        if guest.balloon:
            words += ["-device", f"virtio-balloon-{self.bus},id=balloon"]
        if guest.tap:
            words += ["-netdev", f"tap,id=net0,ifname={guest.tap},vhost={guest.vhost}",
                      "-device", f"virtio-net-{self.bus},netdev=net0,id=net0"]
        return words + (["-S"] if guest.paused else [])

    def bare(self, qmp):
        """No machine and no plugin."""
        return [self.binary, "-machine", "none", "-qmp", f"unix:{qmp},server,nowait", "-plugin-dir", self.plugins]


class Qemu:
    """Debian's QEMU with its microvm, its defaults for a disk, and writeback caching by threads."""

    def __init__(self, options="", binary="qemu-system-x86_64", firmware=None):
        self.options, self.binary, self.firmware = options, str(binary), firmware
        self.name = "QEMU microvm" + (" tuned" if options else "")

    def command(self, guest, qmp):
        words = [self.binary, "-M", f"microvm{self.options}", "-enable-kvm",
                 # Its own state is not to be set on a software KVM, which makes QEMU abort
                 "-cpu", "host,-arch-capabilities",
                 "-smp", str(guest.cpus), "-m", str(guest.memory), "-nodefaults", "-no-user-config",
                 "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel", str(guest.kernel),
                 "-append", f"{APPEND} {guest.append}", "-qmp", f"unix:{qmp},server,nowait"]
        if self.firmware:
            words += ["-L", self.firmware]
        if guest.initrd:
            words += ["-initrd", str(guest.initrd)]
        if guest.disk:
            words += ["-drive", f"id=rootfs,file={guest.disk},if=none,format=raw,cache=writeback,aio=threads",
                      "-device", f"virtio-blk-device,drive=rootfs,num-queues={guest.queues}"]
        if guest.rng:
            words += ["-object", "rng-random,id=random,filename=/dev/urandom",
                      "-device", "virtio-rng-device,rng=random"]
        if guest.balloon:
            words += ["-device", "virtio-balloon-device,id=balloon"]
        if guest.tap:
            words += ["-netdev", f"tap,id=net0,ifname={guest.tap},script=no,downscript=no,vhost={guest.vhost}",
                      "-device", "virtio-net-device,netdev=net0"]
        return words + (["-S"] if guest.paused else [])


class QemuQ35(Qemu):
    """The machine on which QEMU can add a disk while the guest runs: PCIe with a root port."""

    def __init__(self, binary, firmware=None):
        super().__init__("", binary, firmware)
        self.name = "QEMU q35"

    def command(self, guest, qmp):
        words = super().command(guest, qmp)
        words[words.index("-M") + 1] = "q35"
        return [re.sub(r"^virtio-(\w+)-device", r"virtio-\1-pci", word) for word in words] + [
            "-device", "pcie-root-port,id=rp0,bus=pcie.0,slot=1"]


# Without the clock that is not there, whose driver waits 1.2 s for it
TUNED = ",rtc=off,pit=off,pic=off"


def by_name(name, binary, plugins, firmware=None):
    """Returns the program of that name, as `inside` gets it on its command line."""
    return {"nacre": lambda: Nacre(binary, plugins), "nacre-q35": lambda: Nacre(binary, plugins, "q35"),
            "qemu": lambda: Qemu("", binary, firmware),
            "qemu-q35": lambda: QemuQ35(binary, firmware), "qemu-tuned": lambda: Qemu(TUNED, binary, firmware)}[name]()
