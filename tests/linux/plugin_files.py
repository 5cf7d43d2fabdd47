"""Plugin files as the tests of hot loading need them: other versions and names of a built one, and how they come."""

import os
import pathlib


def exchanged(data, before, after):
    """Returns the bytes of a plugin with every `before`, which must be there, as `after`; both have the same length."""
    if len(before) != len(after) or before not in data:
        raise AssertionError(f"{before!r} cannot become {after!r}")
    return data.replace(before, after)


def as_version(data, before, after):
    """Returns the bytes of a plugin of version `before` as version `after`, in its note and in its entry."""
    data = exchanged(data, f'"version":"{before}"'.encode(), f'"version":"{after}"'.encode())
    return exchanged(data, f"\0{before}\0".encode(), f"\0{after}\0".encode())


def install(data, path):
    """Puts a plugin into place as packages do: whole, by rename."""
    path = pathlib.Path(path)
    path.parent.mkdir(exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(data)
    os.rename(new, path)
