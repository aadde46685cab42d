"""Undo a promotion that is cut short: what `current` and `state.json` were before is kept until it is done.

A promotion lays the way back before its first step. `back/` holds the copies, and the mark `pending` or `promoted`;
`undo/` is what `back/` is named while the copies are put in place again, so that this is finished if it is cut short.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from ocrpack.deploy.system.files import fsync, remove_tree

STAGING = ".staging-back"
"""The name of the copies while they are not whole yet; the next command removes what is left of them."""
_KEPT = ("current", "state.json")


@dataclass(frozen=True)
class WayBack:
    """The way back of the promotion that is under way in a deployment's folder."""

    folder: Path

    @property
    def _back(self) -> Path:
        return self.folder / "back"

    @property
    def _undo(self) -> Path:
        return self.folder / "undo"

    @property
    def is_laid(self) -> bool:
        """Whether a promotion was begun, and neither finished nor undone."""
        return self._back.exists() or self._undo.exists()

    @property
    def was_promoted(self) -> bool:
        """Whether a promotion that was begun came as far as `confirm_promotion`."""
        return (self._back / "promoted").exists()

    def lay(self) -> None:
        """Keep `current` and `state.json` as they are; to go back then needs no space on the disk."""
        if self._undo.exists():  # an earlier way back was not gone to its end
            self.go()
        staging = self.folder / STAGING
        remove_tree(staging)
        staging.mkdir()
        for name in _KEPT:
            if os.path.lexists(self.folder / name):
                shutil.copy2(self.folder / name, staging / name, follow_symlinks=False)
            else:
                (staging / f"{name}.none").touch()
        (staging / "pending").touch()
        for path in staging.iterdir():
            if not path.is_symlink():
                fsync(path)
        fsync(staging)
        staging.replace(self._back)
        fsync(self.folder)

    def confirm_promotion(self) -> None:
        """Let a later command finish the promotion, and not undo it."""
        (self._back / "pending").replace(self._back / "promoted")

    def go(self) -> None:
        """Undo what was done to `current` and `state.json` since `lay`; may be repeated when cut short."""
        if self._back.exists():
            self._back.replace(self._undo)
        for name in _KEPT:
            if os.path.lexists(self._undo / name):
                (self._undo / name).replace(self.folder / name)
            elif (self._undo / f"{name}.none").exists():
                (self.folder / name).unlink(missing_ok=True)
        remove_tree(self._undo)
        fsync(self.folder)

    def forget(self) -> None:
        """Let what was promoted stay."""
        remove_tree(self._back)
        fsync(self.folder)
