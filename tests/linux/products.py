"""The files that guests boot from, which the tools beside this file make and print the paths of. What was asked for outside
is known inside a host VM, where such a tool takes seconds to find out that it has nothing to make."""

import json
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
VARIABLE = "NACRE_PRODUCTS"  # {words: what was printed}, of those outside

_known = json.loads(os.environ.get(VARIABLE, "{}"))


def product(*words):
    """Returns what one of the tools prints: the path of a kernel, initramfs or disk, shared and read-only."""
    line = " ".join(words)
    if line not in _known:
        _known[line] = subprocess.run([HERE / words[0], *words[1:]], check=True, stdout=subprocess.PIPE,
                                      text=True).stdout.strip()
    return _known[line]


def make_for_all():
    """Makes what most guests boot from; it is known one by one from then on."""
    for line in product("guest-image", "all").splitlines():
        name, path = line.split(" ")
        _known[f"guest-image {name}"] = path


def hand_on():
    """Has the programs that are started from now on know them."""
    os.environ[VARIABLE] = json.dumps(_known)
