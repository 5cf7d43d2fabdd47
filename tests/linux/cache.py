"""Where the tests keep what is slow to make (kernels, initramfs images, disks), and how it gets there safely.

The cache is $NACRE_CACHE, or build/cache of this repository. Every product is a directory whose name holds a digest of
all it was made from, so a stale one is never used; it is made under a temporary name and renamed when complete, so a
half-made one is never seen; a lock keeps two runs from making it at once.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import pathlib
import shutil
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]


def root():
    """Returns the cache directory, made if need be and possible (inside a host VM it is read-only and exists)."""
    path = pathlib.Path(os.environ.get("NACRE_CACHE") or REPOSITORY / "build" / "cache").absolute()
    if not path.is_dir():
        path.mkdir(parents=True)
    return path


def digest(*parts):
    """Returns 10 hexadecimal digits over the given strings, bytes, and the contents of the given files and folders."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, pathlib.Path):
            files = sorted(p for p in part.rglob("*") if p.is_file()) if part.is_dir() else [part]
            for file in files:
                state.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
        else:
            state.update((part if isinstance(part, bytes) else str(part).encode()) + b"\0")
    return state.hexdigest()[:10]


@contextlib.contextmanager
def _locked(path):
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def product(name, make):
    """Returns the directory `name` of the cache; where it is missing, make(directory) fills it first.

    `name` must hold a digest of everything the product depends on. An exception of make() passes through and leaves
    nothing behind. Raises OSError where the product is missing and the cache is read-only, as inside a host VM.
    """
    final = root() / name
    if final.is_dir():
        return final
    if not os.access(root(), os.W_OK):
        raise OSError(errno.EROFS, f"{name} is not in the cache and the cache is read-only; "
                                   "run the same command outside the host VM first", str(root()))
    with _locked(root() / f".{name}.lock"):
        if final.is_dir():
            return final
        temporary = pathlib.Path(tempfile.mkdtemp(prefix=f".{name}.", dir=root()))
        try:
            make(temporary)
            temporary.chmod(0o755)
            temporary.rename(final)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return final
