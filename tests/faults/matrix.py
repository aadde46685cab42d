"""The matrix: what goes wrong, in which phase, and what is expected then; a new fault is a new line.

Whatever the row, the running service answers every request, `current` names the old release or the new one, the
lock is free, and the next deploy succeeds and leaves nothing of the fault behind.
"""

from __future__ import annotations

from tests.faults import rows_bundles, rows_causes, rows_kills

CELLS = (*rows_kills.CELLS, *rows_causes.CELLS, *rows_bundles.CELLS)
