"""Writes initramfs archives (cpio "newc", Linux Documentation/driver-api/early-userspace/buffer-format.rst).

Made here rather than with cpio(1) so that device nodes and root's ownership need no privileges and the same input
always gives the same bytes.
"""

import stat


class Archive:
    """An initramfs under construction. Paths are relative to its root; parents must be added before children."""

    def __init__(self):
        self._bytes = bytearray()
        self._inode = 0
        self._names = set()

    def _entry(self, name, mode, data=b"", rdev=(0, 0)):
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(encoded), 0)
        self._append(b"070701" + b"".join(b"%08x" % field for field in fields) + encoded)
        self._append(data)
        self._names.add(name)

    def _append(self, data):
        self._bytes += data + b"\0" * (-(len(self._bytes) + len(data)) % 4)

    def directory(self, name):
        """Adds a directory with its missing parents; adding one again is harmless."""
        parent = name.rpartition("/")[0]
        if parent:
            self.directory(parent)
        if name not in self._names:
            self._entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        parent = name.rpartition("/")[0]
        if parent:
            self.directory(parent)
        self._entry(name, stat.S_IFREG | mode, data)

    def program(self, name, data):
        self.file(name, data, 0o755)

    def symlink(self, name, target):
        self._entry(name, stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name, major, minor):
        self._entry(name, stat.S_IFCHR | 0o600, rdev=(major, minor))

    def finish(self):
        """Returns the archive's bytes, padded to 512 so that another archive may follow it."""
        self._entry("TRAILER!!!", 0)
        return bytes(self._bytes + b"\0" * (-len(self._bytes) % 512))
