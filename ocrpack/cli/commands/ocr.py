"""`ocrpack ocr`: read images and documents through a running service."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrpack.cli.common import Json, Quiet, RootFolder
from ocrpack.cli.read_results import Printer, conclude, pages_of, told
from ocrpack.cli.service_options import (
    CaFile,
    Deployed,
    Jobs,
    Languages,
    Preprocess,
    RetrySeconds,
    Timeout,
    TokenFile,
    Url,
    connect,
)
from ocrpack.cli.tally import Tally
from ocrpack.errors import InterruptedByUserError, UsageError

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


Region = Annotated[
    str, typer.Option("--region", metavar="X1,Y1,X2,Y2", help="Read that part alone; pixels of the upright image.")
]


def command(
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
    asked = Options(languages, region, preprocess or "", pages, long)
    order = _order(output, asked, beside=beside, into=into, annotate=annotate, force=force)
    _check_stream(order, single, as_json=json)
    order.check(sources)
    terminal = order.place is None and sys.stdout.isatty()
    tally = Tally(len(sources), quiet=quiet or json, live=not terminal, lines=not single and not terminal)
    service = connect(
        url=url,
        name=name,
        root=root,
        token_file=token_file,
        ca_file=ca_file,
        retry_seconds=retry_seconds,
        timeout=timeout,
        jobs=jobs,
        tally=tally,
    )
    printer = None if json or order.place else Printer(order, single, quiet)
    done = _read(service, sources, order, jobs, tally=tally, printer=printer)
    conclude(done, order, tally, single=single, json=json, quiet=quiet)


def _order(output: str, options: Any, *, beside: bool, into: Path | None, annotate: bool, force: bool) -> Order:
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


def _read(
    service: Service, sources: list[Source], order: Order, jobs: int, *, tally: Tally, printer: Printer | None
) -> list[Outcome]:
    from ocrpack.client import read_all

    done: list[Outcome] = []
    try:
        with tally.shown(), contextlib.closing(read_all(service, sources, order, jobs, tally.page)) as outcomes:
            for outcome in outcomes:
                tally.done(outcome.source, told(outcome), pages_of(outcome))
                if printer:
                    printer.put(outcome)
                done.append(replace(outcome, answer=None) if printer or order.place else outcome)
    except KeyboardInterrupt:
        text = f"interrupted: {len(done)} of {len(sources)} are done"
        again = "run the same command again: it goes on where it stopped"
        raise InterruptedByUserError(text, again if order.place else "--beside or --into would keep them") from None
    return done
