"""Whether an error means that a disk is full, whoever said it."""

from __future__ import annotations

import errno
import os

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


def is_out_of_disk(error: BaseException) -> bool:
    """True when this error, or one that led to it, says that a disk is full."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _NO_ROOM:
            return True
        if os.strerror(errno.ENOSPC) in str(seen):  # as a child process said it
            return True
        seen = seen.__cause__ or seen.__context__
    return False
