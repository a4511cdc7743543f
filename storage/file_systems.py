"""What kind of file system a path lies on, as Linux tells (proc(5), `/proc/[pid]/mountinfo`)."""

from __future__ import annotations

import os
import re
from pathlib import Path

_SHARED = re.compile(r"nfs4?|cifs|smb3|smbfs|9p|afs|ceph|glusterfs|lustre|beegfs|gpfs|fuse\..+")
"""Other machines may work on the same files; of most kinds of `fuse` at least nobody here can know."""

_MOUNTS = Path("/proc/self/mountinfo")


def shared_file_system(path: Path) -> str:
    """The kind of the file system that `path` lies on, where other machines may have it too; else nothing.

    Raises:
        OSError: there is no such path.
    """
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        about, _, kind = line.partition(" - ")
        if about.split(" ")[2] == wanted:
            name = kind.split(" ")[0]
            return name if _SHARED.fullmatch(name) else ""
    return ""
