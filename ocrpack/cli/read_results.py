"""Print what was read where it belongs on stdout, and sum it up."""

from __future__ import annotations

import json as json_module
from typing import TYPE_CHECKING, Any

from ocrpack.cli import console
from ocrpack.cli.tally import Tally
from ocrpack.errors import VerifyError

if TYPE_CHECKING:
    from ocrpack.client import Order, Outcome


class Printer:
    """Puts results on stdout where they belong there; several texts have headings, several JSON answers a line each."""

    def __init__(self, order: Order, single: bool, quiet: bool) -> None:
        self._output, self._single, self._quiet = order.output, single, quiet
        self._first = True

    def put(self, outcome: Outcome) -> None:
        """Print a result, where there is one."""
        from ocrpack.client import content

        if outcome.answer is None:
            return
        if self._output == "json" and not self._single:
            line = {"input": outcome.source.shown, **outcome.answer.document}
            console.write(json_module.dumps(line, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            return
        if not self._single and not self._quiet:
            console.write(f"{'' if self._first else chr(10)}==> {outcome.source.shown} <==\n".encode())
        self._first = False
        console.write(content(outcome.answer, self._output))


def told(outcome: Outcome) -> str:
    """Say what became of an input; nothing of one that was skipped."""
    if outcome.state == "skipped":
        return ""
    took = f"{outcome.seconds:.2f} s"
    return f"failed, {took}" if outcome.finding else f"{console.counted(pages_of(outcome), 'page')}, {took}"


def pages_of(outcome: Outcome) -> int:
    """Return how many pages were read of an input."""
    return len(outcome.answer.pages) or 1 if outcome.answer else 0


def conclude(done: list[Outcome], order: Order, tally: Tally, *, single: bool, json: bool, quiet: bool) -> None:
    """Sum up what was read, and fail where something was not."""
    answer = {
        **{state: sum(one.state == state for one in done) for state in ("read", "skipped", "failed")},
        "pages": tally.pages,
        "seconds": round(tally.seconds, 4),
        "results": [_as_dict(one, order) for one in done] if json else [],
    }
    if not json and not (single and order.place is None):
        _say_sum(done, answer, quiet)
    for path in [path for one in done for path in one.kept]:
        console.say(f"{path} was there already and is kept; --force replaces it", quiet=quiet or json)
    findings = tuple(one.finding for one in done if one.finding)
    if len(findings) == len(done) == 1:
        raise VerifyError(findings[0].message, findings[0].remedy, findings if json else (), answer=answer)
    if findings:
        text = f"{len(findings)} of {len(done)} could not be read"
        raise VerifyError(
            text, "mend or leave them out, and run it again: it reads what is missing", findings, answer=answer
        )
    if json:
        console.print_json(answer)


def _say_sum(done: list[Outcome], answer: dict[str, Any], quiet: bool) -> None:
    text = f"{answer['read']} read ({console.counted(answer['pages'], 'page')}) in {answer['seconds']:.1f} s"
    if answer["skipped"]:
        stale = sum(one.stale for one in done)
        older = f", {stale} of them older than their input" if stale else ""
        text += f"; {answer['skipped']} were there already{older} (--force reads again)"
    console.say(text + (f"; {answer['failed']} failed" if answer["failed"] else ""), quiet=quiet)


def _as_dict(outcome: Outcome, order: Order) -> dict[str, Any]:
    found: dict[str, Any] = {
        "input": outcome.source.shown,
        "state": outcome.state,
        "seconds": round(outcome.seconds, 4),
        "written": [str(path) for path in outcome.written],
        "error": outcome.finding.as_dict() if outcome.finding else None,
    }
    if order.place is None and outcome.answer is not None:
        is_json = order.output == "json"
        found["result"] = outcome.answer.document if is_json else _text_of(outcome, order)
    return found


def _text_of(outcome: Outcome, order: Order) -> str:
    from ocrpack.client import content

    assert outcome.answer is not None
    return content(outcome.answer, order.output).decode("utf-8", "replace")
