"""Measure how well each engine reads, and write docs/accuracy.md.

Usage: python -m benchmarks.accuracy [--engine NAME] [--data FOLDER] [--steps NAME]
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import jiwer

from benchmarks.accuracy import engines
from benchmarks.accuracy.drawings import drawings
from benchmarks.measure import machine
from ocrpack.app import preprocess
from ocrpack.app.engines.base import Engine
from ocrpack.app.images import decode

REPOSITORY = Path(__file__).parent.parent.parent
DOCUMENT = REPOSITORY / "docs" / "accuracy.md"
DATA = REPOSITORY.parent / "shared" / "data"
SECONDS = 300.0
EFFORTS = ("none", *preprocess.EFFORTS)

# Truths type straight quotes and short dashes where print has others.
PLAIN = str.maketrans("\u2018\u2019\u201c\u201d\u2014\u2013\u2010`\u00b4", "''\"\"---''")


@dataclass(frozen=True)
class Case:
    """Hold one image and its true text."""

    kind: str
    data: bytes
    text: str


@dataclass(frozen=True)
class Set:
    """Hold images that are measured together, and the language that they are read in."""

    name: str
    language: str
    cases: tuple[Case, ...]
    normal: Callable[[str], str]


@dataclass(frozen=True)
class Score:
    """Hold mean error rates, processor seconds an image, and the error rate of every image."""

    cer: float
    wer: float
    seconds: float
    each: tuple[float, ...]


def spaced(text: str) -> str:
    """Return a text with single spaces for all white space."""
    return " ".join(text.split())


def folded(text: str) -> str:
    """Return a text without case, and with plain quotes and dashes."""
    return spaced(text).translate(PLAIN).upper()


def sets(data: Path) -> Iterator[Set]:
    """Yield the sets whose images exist on this machine."""
    plans = [
        ("pages", "eng", spaced),
        ("small", "eng", spaced),
        ("receipts", "eng", spaced),
        ("receipts", "eng", folded),
        ("fraktur", "deu", spaced),
        ("fraktur", "frk", spaced),
    ]
    for name, language, normal in plans:
        cases = tuple(
            Case(truth.stem, truth.with_suffix("").read_bytes(), truth.read_text("utf-8"))
            for truth in sorted((data / name).glob("*.txt"))
        )
        if cases:
            yield Set(f"{name}, folded" if normal is folded else name, language, cases, normal)
        else:
            print(f"no images in {data / name}: left out", file=sys.stderr)
    yield Set("drawn", "eng", tuple(Case(one.kind, one.data, one.text) for one in drawings()), spaced)


class Readings:
    """Read images with one engine and some steps, and keep what was read."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known: dict[tuple[bytes, str, tuple[str, ...]], tuple[str, float]] = {}

    @property
    def reads_once(self) -> bool:
        """Whether the engine reads once, whatever the effort."""
        return self._engine.self_reliant

    def score(self, chosen: Set, effort: str, steps: tuple[str, ...] = preprocess.STEPS) -> Score:
        """Return the error rates over a set."""
        results = [(*self._text(case, effort, steps), case) for case in chosen.cases]
        pairs = [(chosen.normal(case.text), chosen.normal(text)) for text, _, case in results]
        each = tuple(jiwer.cer(*pair) for pair in pairs)
        return Score(fmean(each), fmean(jiwer.wer(*pair) for pair in pairs), fmean(s for _, s, _ in results), each)

    def _text(self, case: Case, effort: str, steps: tuple[str, ...]) -> tuple[str, float]:
        key = (case.data, effort, steps)
        if key not in self._known:
            picture = decode.load(io.BytesIO(case.data))
            begin = time.process_time()
            page, _ = preprocess.read(
                self._engine, picture.image, dpi=picture.dpi, languages=(), seconds=SECONDS, effort=effort, steps=steps
            )
            self._known[key] = page.text, time.process_time() - begin
        return self._known[key]


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=main.__doc__)
    parser.add_argument("--engine", action="append", help="only this one; may be given several times")
    parser.add_argument(
        "--data", type=Path, default=REPOSITORY.parent / "shared" / "data", help="images with their text"
    )
    parser.add_argument("--steps", default="tesseract", help="the engine that each step is left out for; none for none")
    chosen = parser.parse_args()
    measured = list(sets(chosen.data))
    overview, kinds, steps = [], [], []
    for name in chosen.engine or engines.NAMES:
        readings: dict[str, Readings] = {}
        for one in measured:
            if one.language not in readings:
                engine = engines.load(name, one.language)
                if engine is None:
                    continue
                readings[one.language] = Readings(engine)
            reader = readings[one.language]
            efforts = EFFORTS[:1] if reader.reads_once else EFFORTS
            scores = {effort: reader.score(one, effort) for effort in efforts}
            overview += [_row(name, one, effort, score, scores["none"]) for effort, score in scores.items()]
            print(*overview[-len(efforts) :], sep="\n", file=sys.stderr)
            if one.name == "drawn":
                kinds += _kinds(name, one, tuple(scores.values()))
            if name == chosen.steps and (one.normal is spaced) == (one.name != "receipts"):
                steps += list(_ablation(name, one, reader, scores["best"]))
    if not overview:
        raise SystemExit("no engine is installed: make setup")
    _write(
        "sets",
        f"{machine()}.\n\n{_table('set', 'preprocess', 'CER', 'WER', 'CER even, odd', 's/image', rows=overview)}",
    )
    _write("drawn", _table("kind", *(f"CER {effort}" for effort in EFFORTS), rows=kinds))
    if steps:
        _write("steps", _table("set", "without", "CER", "WER", "s/image", rows=steps))


def _table(*columns: str, rows: Iterable[str]) -> str:
    return "\n".join([f"| engine | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|", *rows])


def _row(engine: str, one: Set, steps: str, score: Score, bare: Score) -> str:
    halves = f"{fmean(score.each[::2]):.3f}, {fmean(score.each[1::2] or score.each):.3f}"
    mark = "**" if score.cer < bare.cer else ""
    return (
        f"| {engine} | {one.name}, {one.language}, {len(one.cases)} images | {steps} | {mark}{score.cer:.4f}{mark} "
        f"| {score.wer:.4f} | {halves} | {score.seconds:.2f} |"
    )


def _kinds(engine: str, one: Set, scores: tuple[Score, ...]) -> Iterator[str]:
    for kind in dict.fromkeys(case.kind for case in one.cases):
        rates = [
            fmean(rate for case, rate in zip(one.cases, score.each, strict=True) if case.kind == kind)
            for score in scores
        ]
        cells = [f"{rate:.3f}" for rate in rates] + ["as none"] * (len(EFFORTS) - len(rates))
        yield f"| {engine} | {kind} | {' | '.join(cells)} |"


def _ablation(engine: str, one: Set, reader: Readings, best: Score) -> Iterator[str]:
    label = f"{engine} | {one.name}, {one.language}"
    yield f"| {label} | nothing | {best.cer:.4f} | {best.wer:.4f} | {best.seconds:.2f} |"
    for left_out in preprocess.STEPS:
        score = reader.score(one, "best", tuple(step for step in preprocess.STEPS if step != left_out))
        yield f"| {label} | {left_out} | {score.cer:.4f} | {score.wer:.4f} | {score.seconds:.2f} |"


def _write(mark: str, table: str) -> None:
    """Replace one table of the document."""
    text = DOCUMENT.read_text("utf-8")
    begin, end = f"<!-- {mark} by `make accuracy` -->", "<!-- end -->"
    head, found, rest = text.partition(begin)
    if not found:
        raise SystemExit(f"{DOCUMENT} has no place for the table: {begin}")
    DOCUMENT.write_text(f"{head}{begin}\n{table}\n{end}{rest.partition(end)[2]}", "utf-8")


if __name__ == "__main__":
    main()
