"""Run a function on many items, a few at a time, in threads that never keep the program from ending."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOOK_S = 0.2
"""How often a wait is interrupted: on Windows, Ctrl-C is not seen during one."""


def in_parallel(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> Generator[tuple[int, Result]]:
    """Yield each item's position and result, as they come; raise what `work` raises, and start nothing more then.

    When the iterator is closed, no further item is started; running ones are not waited for.
    """
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[int, Result | BaseException, bool]] = queue.SimpleQueue()
    over = threading.Event()
    for number in range(len(items)):
        todo.put(number)

    def worker() -> None:
        while not over.is_set():
            try:
                number = todo.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((number, work(items[number]), True))
            except BaseException as error:  # every kind, or who takes the results would wait for ever
                done.put((number, error, False))

    for _ in range(min(threads, len(items))):
        threading.Thread(target=worker, daemon=True).start()
    try:
        for _ in items:
            number, result, good = _next(done)
            if not good:
                raise result  # type: ignore[misc]
            yield number, result  # type: ignore[misc]
    finally:
        over.set()


def in_order(numbered: Iterable[tuple[int, Result]]) -> Iterator[tuple[int, Result]]:
    """Yield the same in the order of the positions, and keep what comes too early."""
    early: dict[int, Result] = {}
    due = 0
    for number, result in numbered:
        early[number] = result
        while due in early:
            yield due, early.pop(due)
            due += 1


def _next(done: queue.SimpleQueue[Result]) -> Result:
    while True:
        try:
            return done.get(timeout=_LOOK_S)
        except queue.Empty:
            continue
