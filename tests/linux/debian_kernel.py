"""Finds Debian's kernels where their packages unpack them, and the modules that a driver needs."""

import pathlib
import re
import subprocess


class KernelMissing(Exception):
    """No kernel of the flavour is unpacked; the text says which package to install."""


class Kernel:
    """One unpacked kernel package: `release` as in uname -r, `image` its bzImage, `modules` its module folder."""

    def __init__(self, release):
        self.release = release
        self.image = pathlib.Path(f"/boot/vmlinuz-{release}")
        self.modules = pathlib.Path(f"/lib/modules/{release}")

    def module_files(self, *names):
        """Returns the files of the modules `names` and of all they need, in the order in which to load them.

        A name that is compiled into the kernel adds nothing. Raises KernelMissing for a name the kernel lacks.
        """
        files = []
        for name in names:
            shown = subprocess.run(["/sbin/modprobe", "-S", self.release, "--show-depends", name],
                                   capture_output=True, text=True)
            if shown.returncode != 0:
                raise KernelMissing(f"kernel {self.release} has no module '{name}': {shown.stderr.strip()}")
            for line in shown.stdout.splitlines():
                word, _, path = line.strip().partition(" ")
                if word == "insmod" and pathlib.Path(path.split()[0]) not in files:
                    files.append(pathlib.Path(path.split()[0]))
        return files


def newest(flavour):
    """Returns the newest unpacked Kernel of a flavour: "cloud" (linux-image-cloud-amd64) or "generic"."""
    package = "linux-image-cloud-amd64" if flavour == "cloud" else "linux-image-amd64"
    pattern = r"[\d.]+-\d+-cloud-amd64" if flavour == "cloud" else r"[\d.]+-\d+-amd64"
    releases = [path.name.removeprefix("vmlinuz-") for path in pathlib.Path("/boot").glob("vmlinuz-*")]
    usable = [r for r in releases if re.fullmatch(pattern, r) and pathlib.Path(f"/lib/modules/{r}").is_dir()]
    if not usable:
        raise KernelMissing(f"no kernel of the {flavour} flavour is unpacked in /boot; install the package {package}")
    return Kernel(max(usable, key=lambda release: [int(number) for number in re.findall(r"\d+", release)]))
