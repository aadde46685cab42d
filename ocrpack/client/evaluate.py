"""Score a service on images whose true text is known."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ocrpack.client.inputs import Source, gather
from ocrpack.client.ocr_api import Answer, Options, Service
from ocrpack.client.reading import OnPages, Order, read_all
from ocrpack.client.score import Confusions, Line, confusions, lines
from ocrpack.compare import Distance, distance
from ocrpack.errors import Finding, NotFoundError, UsageError, Where

_MOST_CONFUSIONS = 200


@dataclass(frozen=True)
class Pair:
    """Hold an image and its true text."""

    source: Source
    truth: str = field(repr=False)


@dataclass(frozen=True)
class Result:
    """Hold how well one image was read; if it could not be read, its text counts as empty."""

    pair: Pair
    answer: Answer | None
    distance: Distance
    seconds: float
    finding: Finding | None = None

    @property
    def image(self) -> str:
        """The image as messages call it."""
        return self.pair.source.shown

    @property
    def text(self) -> str:
        """What was read."""
        return self.answer.text if self.answer else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON-ready values."""
        found = {"image": self.image, **_rates(self.distance), "seconds": round(self.seconds, 4)}
        return {**found, "error": self.finding.as_dict() if self.finding else None}


@dataclass(frozen=True)
class Scores:
    """Hold how well all images were read."""

    results: tuple[Result, ...]
    ignore_case: bool

    @cached_property
    def total(self) -> Distance:
        """The sum of all distances; its rates are micro averages: every character of the truth counts the same."""
        return sum((result.distance for result in self.results), Distance())

    @cached_property
    def confusions(self) -> Confusions:
        """How often which character was read as which, in images that could be read."""
        found: Confusions = Counter()
        for result in self._read:
            found += confusions(result.pair.truth, result.text, ignore_case=self.ignore_case)
        return found

    def worst(self, count: int) -> list[Line]:
        """Return the lines of the truth with the most errors."""
        found = [
            line
            for result in self._read
            for line in lines(result.image, result.pair.truth, result.text, ignore_case=self.ignore_case)
        ]
        return sorted(found, key=lambda line: (-line.errors, -line.cer))[:count]

    @property
    def reader(self) -> str:
        """The engine and the model, as the service names them."""
        documents = [result.answer.document for result in self.results if result.answer]
        document = documents[0] if documents else {}
        model = document.get("model")
        names = (
            [document.get("engine"), *(model.get(key) for key in ("name", "version"))]
            if isinstance(model, dict)
            else []
        )
        return " ".join(str(name) for name in names if name)

    @property
    def failed(self) -> tuple[Result, ...]:
        """The results of images that could not be read."""
        return tuple(result for result in self.results if result.finding)

    @property
    def _read(self) -> Iterator[Result]:
        return (result for result in self.results if not result.finding)

    def as_dict(self, worst: int) -> dict[str, Any]:
        """Return the scores as JSON-ready values."""
        seconds = sum(result.seconds for result in self.results)
        return {
            "images": len(self.results),
            "failed": len(self.failed),
            "total": {**_rates(self.total), "seconds": round(seconds, 4)},
            "files": [result.as_dict() for result in self.results],
            "worst_lines": [
                {"image": line.image, "truth": line.truth, "read": line.read, "cer": round(line.cer, 5)}
                for line in self.worst(worst)
            ],
            "confusions": [
                {"truth": truth, "read": read, "count": count}
                for (truth, read), count in self.confusions.most_common(_MOST_CONFUSIONS)
            ],
        }


def _rates(found: Distance) -> dict[str, Any]:
    return {
        "cer": round(found.cer, 5),
        "wer": round(found.wer, 5),
        "recall": round(found.recall, 5),
        "characters": found.characters,
        "words": found.words,
    }


def pairs(folder: Path, suffix: str) -> tuple[list[Pair], list[Source]]:
    """Return the images of a folder with their true text, and those without one.

    The truth of `page.png` is in `page.png.txt`, else in `page.txt`, for the suffix `.txt`.

    Raises:
        NotFoundError: there is no such folder, or no image with a true text.
        UsageError: a true text is not UTF-8.
    """
    if not folder.is_dir():
        raise NotFoundError(f"{folder} is no folder", "name a folder of images, each with its true text beside it")
    found, without, broken = [], [], []
    for source in gather([str(folder)], bytes):
        assert source.path is not None
        places = [source.path.with_name(source.path.name + suffix), source.path.with_name(source.path.stem + suffix)]
        truth = next((place for place in places if place.is_file() and place != source.path), None)
        if truth is None:
            without.append(source)
            continue
        try:
            found.append(Pair(source, truth.read_text("utf-8-sig")))
        except UnicodeDecodeError as error:
            broken.append(Finding("truth", f"no UTF-8 at byte {error.start}", where=Where(str(truth))))
    if broken:
        raise UsageError("a true text is not UTF-8", "convert it: `iconv -t utf-8`", tuple(broken))
    if not found:
        remedy = f"put the text of page.png into page.png{suffix} or page{suffix}, or pass --truth-suffix"
        raise NotFoundError(f"no image in {folder} has its true text beside it", remedy)
    return found, without


def evaluate(
    service: Service,
    known: Sequence[Pair],
    options: Options,
    threads: int,
    on_result: Callable[[Result], None],
    *,
    ignore_case: bool = False,
    on_pages: OnPages = lambda *_: None,
) -> Scores:
    """Read all images and return their scores; call `on_result` with each, in their order.

    Raises:
        OcrpackError: the service cannot be used at all.
    """
    results = []
    sources = [pair.source for pair in known]
    with contextlib.closing(read_all(service, sources, Order(options=options), threads, on_pages)) as outcomes:
        for pair, outcome in zip(known, outcomes, strict=True):
            text = outcome.answer.text if outcome.answer else ""
            found = distance(pair.truth, text, ignore_case=ignore_case)
            result = Result(pair, outcome.answer, found, outcome.seconds, outcome.finding)
            results.append(result)
            on_result(result)
    return Scores(tuple(results), ignore_case)
