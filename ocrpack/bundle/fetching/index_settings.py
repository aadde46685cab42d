"""Where pip and uv look for packages, and uv itself."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

_SAME_INDEX = {
    "PIP_INDEX_URL": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "PIP_EXTRA_INDEX_URL": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
}


def find_uv() -> Path | None:
    """Return the uv program that came with ocrpack, or one on PATH."""
    try:
        import uv

        return Path(uv.find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        return Path(found) if found else None


def environ() -> dict[str, str]:
    """Return this process's variables, by which uv and pip use the same package indexes whichever is set up."""
    values = dict(os.environ)
    for pip, uv in _SAME_INDEX.items():
        stated = next((values[name] for name in uv if values.get(name)), None)
        if stated is not None:
            values.setdefault(pip, " ".join(re.sub(r"^[\w-]+=(?=http)", "", place) for place in stated.split()))
        elif values.get(pip):
            values[uv[0]] = values[pip]
    return values
