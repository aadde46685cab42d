"""The reader's command `ocr`, and how any command finds the service that it speaks with."""

from __future__ import annotations

import contextlib
import json as json_module
import os
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet, RootFolder, find_root
from ocrpack.cli.tally import Tally
from ocrpack.errors import BootError, InterruptedByUserError, NotFoundError, UsageError, VerifyError

if TYPE_CHECKING:
    from ocrpack.client import Order, Outcome, Service, Source


class Output(StrEnum):
    """What the service can make of what it reads."""

    text = "text"
    json = "json"
    tsv = "tsv"
    hocr = "hocr"
    alto = "alto"
    pdf = "pdf"
    csv = "csv"


Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The service's address.", show_default="OCRPACK_URL")
]
Deployed = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="A deployment here; not needed where there is one.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="Holds the service's token.", show_default="OCRPACK_TOKEN"),
]
CaFile = Annotated[
    Path | None, typer.Option("--ca-file", metavar="FILE", help="Certificates (PEM) to trust instead of the system's.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="How many inputs to send at once.")]
RetrySeconds = Annotated[
    float, typer.Option("--retry-seconds", min=0, metavar="SECONDS", help="How long to try again what may pass.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=1, metavar="SECONDS", help="How long an answer may take.")]
Languages = Annotated[str, typer.Option("--languages", "-l", metavar="eng,deu", help="What may stand on the images.")]
Region = Annotated[
    str, typer.Option("--region", metavar="X1,Y1,X2,Y2", help="Read that part alone; pixels of the upright image.")
]
Preprocess = Annotated[
    Literal["auto", "best", "none"] | None,
    typer.Option("--preprocess", help="How images are made easier to read.", show_default="the service's"),
]


def ocr(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Images, PDF files, folders, patterns, or - for stdin.")
    ],
    output: Annotated[Output, typer.Option("--output", "-f", help="What to make of what is read.")] = Output.text,
    beside: Annotated[bool, typer.Option("--beside", help="Write page.png.ocr.txt beside page.png.")] = False,
    into: Annotated[
        Path | None, typer.Option("--into", "-o", metavar="DIR", help="Write results there, in folders as the inputs'.")
    ] = None,
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Write page.png.annotated.png too, with a box around each word.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Read again what was read, and replace it.")] = False,
    languages: Languages = "",
    region: Region = "",
    preprocess: Preprocess = None,
    pages: Annotated[str, typer.Option("--pages", metavar="1-3,5", help="Of documents, these pages alone.")] = "",
    long: Annotated[bool, typer.Option("--long", help="Read each input as a job, as PDF files always are.")] = False,
    jobs: Jobs = 4,
    url: Url = None,
    name: Deployed = None,
    root: RootFolder = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    retry_seconds: RetrySeconds = 30,
    timeout: Timeout = 300,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Read images and documents through a running service; what was read already is not read again.

    Results go to stdout, unless --beside or --into says where.

    Example: ocrpack ocr scans --beside
    """
    from ocrpack.client import Options, gather

    if beside and into is not None:
        raise UsageError("--beside and --into exclude each other", "choose one of them")
    sources = gather(images, sys.stdin.buffer.read, without=into)
    single = len(images) == len(sources) == 1 and images[0] in {sources[0].shown, "-"}
    order = _order(output, Options(languages, region, preprocess or "", pages, long), beside, into, annotate, force)
    _check_stream(order, single, as_json=json)
    order.check(sources)
    terminal = order.place is None and sys.stdout.isatty()
    tally = Tally(len(sources), quiet=quiet or json, live=not terminal, lines=not single and not terminal)
    service = connect(url, name, root, token_file, ca_file, retry_seconds, timeout, jobs, tally)
    printer = None if json or order.place else _Printer(order, single, quiet)
    done = _read(service, sources, order, jobs, tally, printer)
    _conclude(done, order, tally, single, json, quiet)


def _order(output: str, options: Any, beside: bool, into: Path | None, annotate: bool, force: bool) -> Order:
    from ocrpack.client import Order, Place

    place = Place(into) if beside or into is not None else None
    return Order(str(output), options, place, (place or Place(None)) if annotate else None, force)


def _check_stream(order: Order, single: bool, *, as_json: bool) -> None:
    """Refuse results that one stream cannot hold."""
    remedy = "pass --beside or --into DIR"
    if order.place is not None:
        return
    if order.output == "pdf" and (as_json or sys.stdout.isatty()):
        raise UsageError("a PDF is nothing for " + ("JSON" if as_json else "a terminal"), f"{remedy}, or redirect it")
    if not single and not as_json and order.output not in {"text", "json"}:
        raise UsageError(f"several results of {order.output} make no sense in one stream", remedy)


def connect(
    url: str | None,
    name: str | None,
    root: Path | None,
    token_file: Path | None,
    ca_file: Path | None,
    retry_seconds: float,
    timeout: float,
    jobs: int,
    tally: Tally,
) -> Service:
    """Return the service that the options mean.

    Raises:
        NotFoundError: there is no such deployment.
        BootError: it does not run.
    """
    from ocrpack.client import Address, Connection, Patience, Service

    if url and name:
        raise UsageError("--url and --name exclude each other", "leave one of them out")
    url = url or (None if name else os.environ.get("OCRPACK_URL")) or _deployed(name, root)
    address = Address.of(url, token=_token(token_file), ca_file=ca_file, timeout=timeout)
    if address.token and address.is_open:
        tally.waits(f"the token goes to {address.url} for everyone on the way to see: it has no https")
    return Service(Connection(address, Patience(retry_seconds), jobs, tally.waits))


def _deployed(name: str | None, root: Path | None) -> str:
    """Return the address of a deployment on this machine."""
    if sys.platform == "win32":
        raise UsageError("no service is named", "pass --url URL")
    from ocrpack.deploy.steps import recover
    from ocrpack.deploy.supervisor import status

    place = find_root(root)
    try:
        deployment = place.find(name)
    except NotFoundError as error:
        raise NotFoundError(error.message, f"pass --url URL for a service elsewhere; {error.remedy}") from None
    if status.needs_mending(deployment):
        recover.mend(place, deployment)
    found = status.status(deployment)
    if found.url is None or found.state in {"stopped", "failed", "empty", "damaged"}:
        raise BootError(f"{found.name} is {found.state}", f"`ocrpack start {found.name}`, or pass --url URL")
    return found.url


def _token(file: Path | None) -> str | None:
    where = str(file) if file is not None else "OCRPACK_TOKEN"
    try:
        token = file.read_text("utf-8-sig") if file is not None else os.environ.get("OCRPACK_TOKEN")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", "check the path and its permissions") from None
    except UnicodeDecodeError:
        token = "\0"
    if token is None:
        return None
    token = token.strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise UsageError(f"{where} holds no token", "a token is one line of letters, digits and signs")
    return token


class _Printer:
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


def _read(
    service: Service, sources: list[Source], order: Order, jobs: int, tally: Tally, printer: _Printer | None
) -> list[Outcome]:
    from ocrpack.client import read_all

    done: list[Outcome] = []
    try:
        with tally.shown(), contextlib.closing(read_all(service, sources, order, jobs, tally.page)) as outcomes:
            for outcome in outcomes:
                tally.done(outcome.source, _told(outcome), _pages(outcome))
                if printer:
                    printer.put(outcome)
                done.append(replace(outcome, answer=None) if printer or order.place else outcome)
    except KeyboardInterrupt:
        text = f"interrupted: {len(done)} of {len(sources)} are done"
        again = "run the same command again: it goes on where it stopped"
        raise InterruptedByUserError(text, again if order.place else "--beside or --into would keep them") from None
    return done


def _told(outcome: Outcome) -> str:
    if outcome.state == "skipped":
        return ""
    took = f"{outcome.seconds:.2f} s"
    return f"failed, {took}" if outcome.finding else f"{console.counted(_pages(outcome), 'page')}, {took}"


def _pages(outcome: Outcome) -> int:
    return len(outcome.answer.pages) or 1 if outcome.answer else 0


def _conclude(done: list[Outcome], order: Order, tally: Tally, single: bool, json: bool, quiet: bool) -> None:
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


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ocr)
