"""`ocrpack eval`: score a running service on images whose true text is known."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ocrpack.cli import console
from ocrpack.cli.common import Json, Quiet, RootFolder
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
from ocrpack.errors import InterruptedByUserError, SmokeError, VerifyError, explained_io

if TYPE_CHECKING:
    from ocrpack.client import Result, Scores

_CONFUSIONS = 15
_LINE_CHARACTERS = 100


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Images, each with its true text beside it.")],
    truth_suffix: Annotated[
        str, typer.Option("--truth-suffix", metavar="SUFFIX", help="The truth of page.png is page.png.txt or page.txt.")
    ] = ".txt",
    ignore_case: Annotated[bool, typer.Option("--ignore-case", help="Count A and a as the same.")] = False,
    fail_above: Annotated[
        float | None, typer.Option("--fail-above", metavar="CER", min=0, help="Exit with 15 if the CER is higher.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Write an HTML page with pictures and differences.")
    ] = None,
    worst: Annotated[int, typer.Option("--worst", min=0, help="How many of the worst lines to show.")] = 10,
    languages: Languages = "",
    preprocess: Preprocess = None,
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
    """Score a running service on a folder of images with truth: error rates, worst lines, confusions, a report.

    Example: ocrpack eval scans --report report.html
    """
    from ocrpack.client import Options, evaluate, pairs

    known, without = pairs(folder, truth_suffix)
    tally = Tally(len(known), quiet=quiet or json, live=True, lines=True)
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
    options = Options(languages=languages, preprocess=preprocess or "")

    def done(result: Result) -> None:
        what = "failed" if result.finding else f"CER {result.distance.cer:.4f}"
        tally.done(result.pair.source, what, len(result.answer.pages) or 1 if result.answer else 0)

    try:
        with tally.shown():
            scores = evaluate(service, known, options, jobs, done, ignore_case=ignore_case, on_pages=tally.page)
    except KeyboardInterrupt:
        raise InterruptedByUserError("interrupted; partial scores are not reported", "run the command again") from None
    if report is not None:
        _write_report(scores, folder, report)
    if not json:
        _show(scores, worst, quiet)
        if without:
            console.say(f"{console.counted(len(without), 'image')} without a true text left out", quiet=quiet)
    answer = {**scores.as_dict(worst), "without_truth": len(without), "report": str(report) if report else None}
    _conclude(scores, fail_above, answer, json=json)


def _write_report(scores: Scores, folder: Path, report: Path) -> None:
    from ocrpack.client import render_report, write_result

    when = datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M")
    about = ", ".join(part for part in (scores.reader, when, "case ignored" if scores.ignore_case else "") if part)
    page = render_report(scores, f"How {folder} was read", about)
    with explained_io("write the report", report):
        write_result(report, page.encode("utf-8", "replace"))


def _show(scores: Scores, worst: int, quiet: bool) -> None:
    columns = ["FILE", "CER", "WER", "RECALL", "SECONDS"]
    rows = [_row(one.image, one.distance, one.seconds) for one in scores.results]
    mean = sum(one.seconds for one in scores.results) / len(scores.results)
    console.table(columns, [*([] if quiet else rows), _row(f"all {len(rows)}", scores.total, mean)])
    lines = scores.worst(worst)
    if quiet:
        return
    for number, line in enumerate(lines):
        console.result(f"{'' if number else chr(10) + 'WORST LINES' + chr(10)}{line.image}  CER {line.cer:.4f}")
        console.result(f"  truth  {_cut(line.truth)}\n  read   {_cut(line.read)}")
    if confusions := scores.confusions.most_common(_CONFUSIONS):
        console.result("")
        shown = [[_sign(truth), _sign(read), str(count)] for (truth, read), count in confusions]
        console.table(["TRUTH", "READ AS", "TIMES"], shown)


def _row(name: str, found: Any, seconds: float) -> list[str]:
    return [name, *(f"{rate:.4f}" for rate in (found.cer, found.wer, found.recall)), f"{seconds:.2f}"]


def _cut(text: str) -> str:
    return text if len(text) <= _LINE_CHARACTERS else text[: _LINE_CHARACTERS - 1] + "…"


def _sign(character: str) -> str:
    return {"": "(nothing)", " ": "(space)"}.get(character, character)


def _conclude(scores: Scores, fail_above: float | None, answer: dict[str, Any], *, json: bool) -> None:
    findings = tuple(one.finding for one in scores.failed if one.finding)
    if fail_above is not None and scores.total.cer > fail_above:
        text = f"the character error rate is {scores.total.cer:.4f}, at most {fail_above:g} is allowed"
        raise SmokeError(text, "the worst lines and --report FILE show where it goes wrong", findings, answer=answer)
    if findings:
        text = f"{len(findings)} of {len(scores.results)} could not be read, and count as if nothing had been found"
        raise VerifyError(text, "mend the images, or leave them out", findings, answer=answer)
    if json:
        console.print_json(answer)
