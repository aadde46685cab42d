"""`ocrpack logs`: show deployment events and the app's output."""

from __future__ import annotations

import itertools
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Name, Quiet, RootFolder, find_root, moment
from ocrpack.errors import UsageError

if TYPE_CHECKING:
    from ocrpack.logs import Event


def command(
    name: Name = None,
    root: RootFolder = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines are written.")] = False,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="1h, 30m, 2d, or an ISO time.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="1h, 30m, 2d, or an ISO time.")] = None,
    level: Annotated[Literal["debug", "info", "warning", "error"], typer.Option(help="The lowest level.")] = "info",
    phase: Annotated[str, typer.Option(metavar="PHASE", help="Events of one phase of a deploy.")] = "",
    grep: Annotated[str, typer.Option(metavar="REGEX", help="Lines that match.")] = "",
    instance: Annotated[bool, typer.Option("--instance", help="The app's output alone.")] = False,
    deploys: Annotated[bool, typer.Option("--deploys", help="Deployment events alone.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", min=0, help="The last lines only.")] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what happened: deployment events and the app's output, in the order of time.

    Example: ocrpack logs tesseract --since 1h --level warning
    """
    import re

    from ocrpack import logs

    try:
        re.compile(grep)
    except re.error as error:
        raise UsageError(
            f"--grep {grep!r} is no regular expression: {error}", "quote special characters with \\"
        ) from None
    if instance and deploys:
        raise UsageError("--instance and --deploys exclude each other", "leave both out to see all")
    query = logs.Query(moment(since), moment(until), level, phase, grep)
    deployment = find_root(root).find(name)
    sources: list[tuple[Path, logs.Parser]] = []
    if not instance:
        sources.append((deployment.deploy_log, logs.parse_journal_line))
    if not deploys:
        sources.append((deployment.instance_log, logs.parse_instance_line))
    past, coming = logs.follow(sources, query) if follow else (logs.merged(sources, query), iter(()))
    shown = past if lines is None else deque(past, lines)
    for event in itertools.chain(shown, coming):
        if json:
            console.print_json(event.as_dict(), lines=True)
        else:
            _show_event(event)


def _show_event(event: Event) -> None:
    if console.is_plain(sys.stdout):
        console.result("".join(text for text, _ in _styled(event)))
        return
    from rich.text import Text

    console.stdout().print(Text.assemble(*((console.visible(text), style) for text, style in _styled(event))))


def _styled(event: Event) -> Iterator[tuple[str, str]]:
    """Yield the parts of a line, each with its style."""
    yield f"{event.time or '-':<24} ", "dim"
    yield f"{event.level:<7} ", {"error": "bold red", "warning": "yellow"}.get(event.level, "green")
    if event.event == "output" and not event.phase:
        yield f"{event.release} | ", "cyan"
    else:
        what = event.phase or event.event
        yield f"{what} {event.event if event.phase else ''}".rstrip() + " ", "magenta"
    yield event.message, ""
    if event.seconds is not None:
        yield f" ({event.seconds:.2f} s)", "dim"
