"""`unshare … python sealed.py FOLDER PROGRAM …`: a program without privileges where all is read-only but FOLDER.

As a container with `read_only`, `cap_drop: [ALL]`, `no-new-privileges` and a tmpfs at FOLDER does it. Needs a mount
namespace of its own with the right to mount in it; `SEALING` makes one in a user namespace, where the program is a user
that no file names. Whatever cannot be sealed ends it with status 1 and one line.
"""

from __future__ import annotations

import ctypes
import os
import struct
import subprocess
import sys
from errno import EROFS
from pathlib import Path

USER = 10001
"""The user of the image. Outside of the namespace it is whoever runs this."""

SEALING = (
    "unshare",
    "--user",
    f"--map-user={USER}",
    f"--map-group={USER}",
    "--mount",
    "--keep-caps",
    sys.executable,
    __file__,
)
UNPRIVILEGED = ("setpriv", "--no-new-privs", "--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all")

_MOUNT_SETATTR = 442
"""The number of the system call, the same on every architecture."""
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_READ_ONLY = 1


def make_read_only() -> None:
    """All that is mounted, which `remount` does only for one mount at a time."""
    libc = ctypes.CDLL(None, use_errno=True)
    attributes = struct.pack("QQQQ", _READ_ONLY, 0, 0, 0)
    if libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, b"/", _AT_RECURSIVE, attributes, len(attributes)):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "mount_setattr")


def is_read_only(folder: Path) -> bool:
    """Whether nothing can be made there."""
    try:
        (folder / "written").touch()
    except OSError as error:
        return error.errno == EROFS
    return False


def main() -> None:
    """Seal, look whether it is sealed, and become the program."""
    folder, *program = sys.argv[1:]
    try:
        make_read_only()
        subprocess.run(("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder), check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise SystemExit(f"sealed: {error}") from None
    for place in (Path.cwd(), Path(sys.prefix), Path("/tmp"), Path("/dev/shm")):
        if place.exists() and not is_read_only(place):
            raise SystemExit(f"sealed: {place} can be written to")
    os.execvp(UNPRIVILEGED[0], (*UNPRIVILEGED, *program))


if __name__ == "__main__":
    main()
