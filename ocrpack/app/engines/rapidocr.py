"""Read images with PP-OCR models on ONNX Runtime, as RapidOCR does: find lines, turn them upright, recognise them.

The models are the packed weights, or those in RapidOCR's wheel if none are packed; nothing is downloaded. Lines are
detected on a reduced image, and cut out of the full one. All lines of a page together decide which way up it is, since
the classifier errs on short ones; a line that disagrees is read both ways.
"""

from __future__ import annotations

import importlib.util
import math
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from statistics import fmean, median
from typing import TYPE_CHECKING, Any, TypeAlias

from .base import Line, Page, Word
from .order import Rect, rows_of

# The libraries read these variables when they are loaded, so they are set before any import. By default ONNX Runtime
# reports its use to its maker.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
THREADS = max(1, int(os.environ.setdefault("OMP_THREAD_LIMIT", "1")))
os.environ.setdefault("OPENBLAS_NUM_THREADS", str(THREADS))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402
from rapidocr.ch_ppocr_det.utils import DBPostProcess  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL.Image import Image

    from .base import Box, Model, Polygon

Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]

OPTIONS = {"megapixels": 1.0, "box_score": 0.5, "text_score": 0.5, "classify": True}
"""The options of `app.options`, and their defaults."""

STRIDE = 32
"""The detector takes images whose sides are multiples of this."""
SMALL_PX, GOOD_PX = 12, 18
"""If lines are lower than the first in the detector's image, they are detected again at the height of the second."""
MOST_ENLARGED, MOST_MEGAPIXELS, WORTHWHILE = 4.0, 4.0, 1.2
LONG = 1.5
"""A line that is so many times as long as high tells the direction of its text."""
SURE = 0.9
CLASSIFIED_PX = 192
NARROWEST_PX = 160


class _Network:
    """Run a model with THREADS threads, none of which spins while it waits."""

    def __init__(self, path: Path, height: int) -> None:
        """Load the model of a file; `height` is that of its images in pixels, if the model does not say."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise RuntimeError(f"ONNX Runtime cannot load {path}: {error}") from error
        (self._input,) = self._session.get_inputs()
        _, _, wanted_height, wanted_width = self._input.shape
        self.height = wanted_height if isinstance(wanted_height, int) else height
        self.width = wanted_width if isinstance(wanted_width, int) else None
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def __call__(self, image: Pixels, width: int, run_options: onnxruntime.RunOptions) -> Numbers:
        """Return the model's output for one image, padded with grey to that width.

        A batch of one is as fast on a core as larger ones, and no line's output depends on its neighbours.
        """
        batch = np.zeros((1, 3, image.shape[0], width), np.float32)
        batch[0, :, :, : image.shape[1]] = image.transpose(2, 0, 1) * np.float32(1 / 127.5) - np.float32(1)
        answer: Numbers = self._session.run(None, {self._input.name: batch}, run_options)[0][0]
        return answer


@dataclass(frozen=True)
class _Token:
    """Hold a character, its confidence, and where its middle is along the line (0 to 1)."""

    text: str
    confidence: float
    middle: float


@dataclass(frozen=True)
class _Strip:
    """Hold a detected line: its corners clockwise from the reader's top left, and its characters."""

    corners: Numbers
    tokens: tuple[_Token, ...] = ()

    @property
    def confidence(self) -> float:
        return fmean(token.confidence for token in self.tokens) if self.tokens else 0.0


class RapidOcr:
    """Read images with a detector, a recogniser and, if the model has one, a classifier of lines."""

    name = "rapidocr"
    backend = "onnxruntime"
    shares_by_fork = THREADS == 1
    """With one thread, ONNX Runtime starts none of its own, which a fork would lose."""
    self_reliant = True

    def __init__(self, files: dict[str, Path], options: dict[str, Any]) -> None:
        """Load the models, by role."""
        self.version = metadata.version("rapidocr")
        self._megapixels, self._text_score = float(options["megapixels"]), float(options["text_score"])
        self._detector = _Network(files["detection"], STRIDE)
        self._recogniser = _Network(files["recognition"], 48)
        classified = options["classify"] and "classification" in files
        self._classifier = _Network(files["classification"], 48) if classified else None
        self._characters = _characters(self._recogniser, files.get("dictionary"))
        self._boxes = DBPostProcess(
            thresh=0.3,
            box_thresh=float(options["box_score"]),
            max_candidates=10_000,
            unclip_ratio=1.6,
            use_dilation=True,
        )

    def read(self, image: Image, dpi: int | None, languages: tuple[str, ...], seconds: float) -> Page:
        """Return the text of an upright RGB image; the model reads all of its languages at once.

        Raises:
            TimeoutError: reading took longer than `seconds`.
        """
        pixels = _pixels(image)
        with _aborting_after(seconds) as run_options:
            turn, choices = self._strips(pixels, run_options)
            strips = [self._best(pixels, strips, run_options) for strips in choices]
        return _page([strip for strip in strips if strip.confidence >= self._text_score], turn, image.size)

    def turn(self, image: Image) -> int | None:
        """Return by how many quarter turns clockwise the text is turned; None without text or classifier."""
        if self._classifier is None:
            return None
        with _aborting_after(math.inf) as run_options:
            turn, choices = self._strips(_pixels(image), run_options)
        return turn if choices else None

    def _strips(self, pixels: Pixels, run_options: onnxruntime.RunOptions) -> tuple[int, list[list[_Strip]]]:
        """Return the page's quarter turns, and for each line one candidate, or two if its direction is in doubt."""
        quads = self._detect(pixels, run_options)
        sideways = sum(_length(quad, 1) for quad in quads) > sum(_length(quad, 0) for quad in quads)
        axes = [1 - sideways if _length(quad, 1 - sideways) else int(sideways) for quad in quads]
        upside_down = [
            self._upside_down(pixels, np.roll(quad, -axis, 0), run_options)
            for quad, axis in zip(quads, axes, strict=True)
        ]
        votes = [
            (sure - 0.5) * max(_sides(quad))
            for quad, axis, sure in zip(quads, axes, upside_down, strict=True)
            if axis == sideways
        ]
        turn = sideways + 2 * (sum(votes) > 0)
        choices = []
        for quad, axis, sure in zip(quads, axes, upside_down, strict=True):
            turns = {turn}
            if axis != sideways or (abs(sure - 0.5) > SURE - 0.5 and axis + 2 * (sure > 0.5) != turn):
                turns.add(axis + 2 * (sure > 0.5))
            choices.append([_Strip(np.roll(quad, -number, 0)) for number in sorted(turns)])
        return turn, choices

    def _detect(self, pixels: Pixels, run_options: onnxruntime.RunOptions) -> list[Numbers]:
        """Return the quadrilaterals of all lines, from the image's top left; enlarge the image for small print."""
        area = pixels.shape[0] * pixels.shape[1]
        usual = math.sqrt(self._megapixels * 1e6 / area)
        scale = min(1.0, usual)
        quads = self._detect_at(scale, pixels, run_options)
        low = median(min(_sides(quad)) for quad in quads) if quads else 0.0
        if low * scale < SMALL_PX:
            enough = min(GOOD_PX / low, math.sqrt(MOST_MEGAPIXELS * 1e6 / area)) if quads else usual
            larger = min(MOST_ENLARGED, enough)
            if larger > scale * WORTHWHILE:
                return self._detect_at(larger, pixels, run_options) or quads
        return quads

    def _detect_at(self, scale: float, pixels: Pixels, run_options: onnxruntime.RunOptions) -> list[Numbers]:
        height, width = pixels.shape[:2]
        wide, high = (max(STRIDE, round(side * scale / STRIDE) * STRIDE) for side in (width, height))
        answer = self._detector(_resized(pixels, wide, high), wide, run_options)
        quads, _ = self._boxes(answer[np.newaxis], (height, width))
        return list(quads)

    def _upside_down(self, pixels: Pixels, quad: Numbers, run_options: onnxruntime.RunOptions) -> float:
        """Return the probability that a line is upside down, 0 to 1."""
        if self._classifier is None:
            return 0.0
        width = self._classifier.width or CLASSIFIED_PX
        image = _fitted(_cut(pixels, quad), self._classifier.height, width)
        return float(self._classifier(image, width, run_options)[1])

    def _best(self, pixels: Pixels, strips: Sequence[_Strip], run_options: onnxruntime.RunOptions) -> _Strip:
        read = [_Strip(strip.corners, self._tokens(pixels, strip.corners, run_options)) for strip in strips]
        return max(read, key=lambda strip: strip.confidence)

    def _tokens(self, pixels: Pixels, quad: Numbers, run_options: onnxruntime.RunOptions) -> tuple[_Token, ...]:
        """Return the characters of a line, decoded as CTC defines: equal neighbours are one, blanks are none."""
        image = _fitted(_cut(pixels, quad), self._recogniser.height, None)
        width = max(NARROWEST_PX, image.shape[1])
        answer = self._recogniser(image, width, run_options)
        best = answer.argmax(1)
        filled = len(best) * image.shape[1] / width
        return tuple(
            _Token(self._characters[kind], min(1.0, float(answer[place, kind])), min(1.0, (place + 0.5) / filled))
            for place, kind in enumerate(best)
            if kind and (not place or kind != best[place - 1])
        )


def load(model: Model) -> RapidOcr:
    """Return PP-OCR with the model's packed weights loaded, or those of RapidOCR's wheel if it packs none.

    Raises:
        RuntimeError: a weight is missing or is no model, or an option is unknown.
    """
    if unknown := [name for name in model.options if name not in OPTIONS]:
        raise RuntimeError(f"there is no option {unknown[0]!r}; app.options may hold: {', '.join(OPTIONS)}")
    files = {weight.role: weight.path for weight in model.weights} or _files_of_the_wheel()
    for role in ("detection", "recognition"):
        if role not in files:
            raise RuntimeError(f"model.weights has no {role} model; rapidocr needs an .onnx file with that role")
    cv2.setNumThreads(THREADS)
    return RapidOcr(files, OPTIONS | dict(model.options))


def _files_of_the_wheel() -> dict[str, Path]:
    spec = importlib.util.find_spec("rapidocr")
    assert spec is not None and spec.origin is not None, "it was imported above"
    folder = Path(spec.origin).parent / "models"
    kinds = {"detection": "*_det_*.onnx", "classification": "*_cls_*.onnx", "recognition": "*_rec_*.onnx"}
    return {role: found[0] for role, pattern in kinds.items() if (found := sorted(folder.glob(pattern)))}


def _characters(recogniser: _Network, dictionary: Path | None) -> list[str]:
    """Return the characters of the recogniser's classes: the blank, the dictionary's lines, a space."""
    listed = dictionary.read_text("utf-8") if dictionary else recogniser.metadata.get("character")
    if not listed:
        raise RuntimeError("the recognition model has no dictionary in it; pack one with the role `dictionary`")
    return ["", *listed.splitlines(), " "]


@contextmanager
def _aborting_after(seconds: float) -> Iterator[onnxruntime.RunOptions]:
    """Yield RunOptions that abort inference after `seconds`.

    Raises:
        TimeoutError: inference was aborted.
    """
    run_options = onnxruntime.RunOptions()
    run_options.log_severity_level = 4
    timer = threading.Timer(min(max(0.0, seconds), threading.TIMEOUT_MAX), setattr, (run_options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield run_options
    except Exception as error:
        if run_options.terminate:
            raise TimeoutError from error
        raise
    finally:
        timer.cancel()
        timer.join()


def _pixels(image: Image) -> Pixels:
    """Return an RGB image in the order that these models were trained with: blue, green, red."""
    return np.ascontiguousarray(np.asarray(image)[:, :, ::-1])


def _resized(image: Pixels, width: int, height: int) -> Pixels:
    shrinks = height < image.shape[0]
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)  # type: ignore[return-value]


def _fitted(image: Pixels, height: int, most: int | None) -> Pixels:
    """Return a line at that height, its width in proportion, but `most` pixels at most."""
    width = math.ceil(height * image.shape[1] / image.shape[0])
    return _resized(image, min(width, most or width), height)


def _sides(quad: Numbers) -> tuple[float, float]:
    """Return a quadrilateral's width and height."""
    lengths = np.linalg.norm(quad - np.roll(quad, -1, 0), axis=1)
    return float(max(lengths[0], lengths[2])), float(max(lengths[1], lengths[3]))


def _length(quad: Numbers, axis: int) -> float:
    """Return a line's length if it clearly lies along that axis (0: horizontal, 1: vertical), else 0."""
    sides = _sides(quad)
    return sides[axis] if sides[axis] >= LONG * sides[1 - axis] else 0.0


def _cut(pixels: Pixels, quad: Numbers) -> Pixels:
    """Return the pixels in a quadrilateral, its first corner at the top left."""
    width, height = (max(1, int(side)) for side in _sides(quad))
    target = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    matrix = cv2.getPerspectiveTransform(quad.astype(np.float32), target)
    return cv2.warpPerspective(  # type: ignore[return-value]
        pixels, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def _page(strips: list[_Strip], turn: int, size: tuple[int, int]) -> Page:
    """Return the page in reading order; lines side by side are one row of its text."""
    lines = [line for line in (_line(strip, size) for strip in strips) if line]
    rows = rows_of(_levelled([line.polygon for line in lines]))
    text = "\n".join(" ".join(lines[number].text for number in row) for row in rows)
    return Page(text, turn * 90.0 if lines else 0.0, tuple(lines[number] for row in rows for number in row))


def _levelled(polygons: Sequence[Polygon]) -> list[Rect]:
    """Return the boxes of lines on the page turned so that they are level."""
    if not polygons:
        return []
    longest = sorted(polygons, key=lambda polygon: math.dist(polygon[0], polygon[1]))[len(polygons) // 2 :]
    along = np.sum([np.subtract(polygon[1], polygon[0]) for polygon in longest], axis=0)
    across, down = along / max(1.0, float(np.hypot(*along)))
    rects = []
    for polygon in polygons:
        x, y = np.mean(polygon, axis=0) @ np.array([[across, -down], [down, across]])
        half_width, half_height = (math.dist(polygon[1], corner) / 2 for corner in (polygon[0], polygon[2]))
        rects.append((x - half_width, y - half_height, x + half_width, y + half_height))
    return rects


def _line(strip: _Strip, size: tuple[int, int]) -> Line | None:
    words = tuple(_words(strip, size))
    if not words:
        return None
    polygon = _polygon(strip.corners, 0.0, 1.0, size)
    text = " ".join(word.text for word in words)
    return Line(text, _box(polygon), polygon, round(strip.confidence, 4), words)


def _words(strip: _Strip, size: tuple[int, int]) -> Iterator[Word]:
    """Yield the words between spaces; a word reaches half a character beyond the middles of its outer ones."""
    tokens = strip.tokens
    half = 0.5 / max(1, len(tokens))
    start = 0
    for end in [*(number for number, token in enumerate(tokens) if token.text.isspace()), len(tokens)]:
        word = tokens[start:end]
        if word:
            left = max(0.0, word[0].middle - half) if start else 0.0
            right = min(1.0, word[-1].middle + half) if end < len(tokens) else 1.0
            polygon = _polygon(strip.corners, left, right, size)
            confidence = round(fmean(token.confidence for token in word), 4)
            yield Word("".join(token.text for token in word), _box(polygon), polygon, confidence)
        start = end + 1


def _polygon(corners: Numbers, left: float, right: float, size: tuple[int, int]) -> Polygon:
    """Return the part of a line between two places along it (0 to 1), in whole pixels inside the image."""
    top_left, top_right, bottom_right, bottom_left = corners
    top, bottom = top_right - top_left, bottom_right - bottom_left
    places = (top_left + top * left, top_left + top * right, bottom_left + bottom * right, bottom_left + bottom * left)
    a, b, c, d = ((min(max(round(float(x)), 0), size[0]), min(max(round(float(y)), 0), size[1])) for x, y in places)
    return a, b, c, d


def _box(polygon: Polygon) -> Box:
    xs, ys = [x for x, _ in polygon], [y for _, y in polygon]
    return min(xs), min(ys), max(xs), max(ys)
