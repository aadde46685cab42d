"""Name the properties of a ZIP entry that bundles do not allow; the numbers are those of APPNOTE.TXT 6.3.10."""

from __future__ import annotations

import stat

_ENCRYPTED, _DESCRIPTOR, _PATCHED, _MASKED = 1 << 0, 1 << 3, 1 << 5, 1 << 13
_METHODS = {1: "Shrink", 6: "Implode", 8: "Deflate", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ"}
_KINDS = {
    stat.S_IFLNK: "a symbolic link", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder",
}  # fmt: skip
_UNIX = 3
_SPECIAL = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


def oddity(*, made_by: int, flags: int, method: int, packed: int, size: int, disk: int, attributes: int) -> str:
    """Return why bundles do not allow an entry, or "" if they do; the arguments are fields of its central header."""
    mode = attributes >> 16
    if flags & (_ENCRYPTED | _MASKED):
        return "is encrypted"
    if flags & _PATCHED:
        return "is a patch"
    if method:
        return f"is compressed ({_METHODS.get(method, f'method {method}')}), where bundles are stored"
    if packed != size:
        return f"claims {size} bytes and has {packed}"
    if flags & _DESCRIPTOR:
        return "states its size after its data"
    if made_by >> 8 == _UNIX and stat.S_IFMT(mode) in _KINDS:
        return f"is {_KINDS[stat.S_IFMT(mode)]}"
    if made_by >> 8 == _UNIX and mode & _SPECIAL:
        return f"has the mode {mode & 0o7777:04o}: setuid, setgid or sticky"
    if disk:
        return "is on another disk"
    return ""
