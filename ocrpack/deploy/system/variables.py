"""Which of this process's variables go on to supervisors, apps and units: no secret is among them."""

from __future__ import annotations

import os

KEPT = ("PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
"""Variables of whoever installs the units that an app may need."""
_INHERITED = (*KEPT, "TMPDIR", "USER", "LOGNAME")


def inherited() -> dict[str, str]:
    """Return the few variables of this process that apps and supervisors get: no secret is among them."""
    known = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return known | {name: value for name, value in os.environ.items() if name.startswith("LC_")}
