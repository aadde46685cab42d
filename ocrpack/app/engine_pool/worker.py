"""An engine process: it takes one page of a document after the other, decodes it, and reads its text.

The template process loads the engine once and forks the processes that read, so that they share the model's memory
where the engine allows that, and a new one is there within milliseconds. A hostile image can harm one of these
processes only: their memory is limited, and the web process kills the one whose time is up.
"""

from __future__ import annotations

import contextlib
import io
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .. import preprocess
from ..core.cpu_and_memory import resident_mb
from ..core.problem import Problem, slow_page
from ..core.settings import Settings
from ..core.shared_file import content
from ..engines import load_engine
from ..engines.base import Line, RefusedError
from ..images import documents
from . import messages
from .messages import (
    Answer,
    Ended,
    Facts,
    Failed,
    Fault,
    Fork,
    Forked,
    JsonPage,
    Kill,
    Order,
    PagePreviewed,
    PageRead,
    PreviewPage,
    ProtocolError,
    ReadPage,
    Ready,
    Refused,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from ..core.settings import Limits
    from ..engines.base import Engine, Page, Word
    from ..images.decode import Picture

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h


def facts(engine: Engine) -> Facts:
    """Return what an engine says about itself."""
    threads = os.environ.get("OMP_THREAD_LIMIT", "")
    return Facts(
        engine=engine.name,
        backend=engine.backend,
        engine_version=engine.version,
        threads=int(threads) if threads.isdecimal() else None,
    )


def perform(engine: Engine, limits: Limits, order: Order, data: bytes) -> Answer:
    """Carry out an order on a document's bytes; a fault of the document is an answer, too."""
    try:
        if isinstance(order, PreviewPage):
            return PagePreviewed(jpeg=documents.preview(io.BytesIO(data), order.page, order.side, limits))
        return _read(engine, limits, order, data)
    except Problem as problem:
        return Refused(problem=problem)


def _read(engine: Engine, limits: Limits, order: ReadPage, data: bytes) -> PageRead:
    began = time.monotonic()
    chosen = documents.parse_pages(order.pages) if order.pages else None
    numbers, picture = documents.page(io.BytesIO(data), limits, chosen, order.page)
    whole, corner = picture.image, (0, 0)
    if order.region:
        corner = (order.region[0], order.region[1])
        picture = replace(picture, image=_cut(whole, order.region))
    decoded = time.monotonic()
    page, notes = _recognise(engine, picture, order, order.seconds - (decoded - began))
    ended = time.monotonic()
    shown: JsonPage = {
        "width": whole.width,
        "height": whole.height,
        "unit": "pixel",
        "dpi": picture.dpi,
        "angle": page.angle,
        "text": page.text,
        "lines": [_as_json(line, *corner) for line in page.lines],
    }
    return PageRead(
        numbers=numbers,
        decode=decoded - began,
        ocr=ended - decoded,
        warnings=[*picture.warnings, *notes, *([] if page.lines else ["no text was found"])],
        page=shown,
        image=documents.jpeg(whole) if order.picture else b"",
    )


def _cut(image: Image.Image, region: Sequence[int]) -> Image.Image:
    left, top = max(0, region[0]), max(0, region[1])
    right, bottom = min(image.width, region[2]), min(image.height, region[3])
    if left >= right or top >= bottom:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "region-outside",
            "The region is outside the image",
            f"The image has {image.width} x {image.height} pixels; the region {list(region)} leaves nothing of it.",
        )
    return image.crop((left, top, right, bottom))


def _recognise(engine: Engine, picture: Picture, order: ReadPage, seconds: float) -> tuple[Page, list[str]]:
    """Return what the engine reads within the `seconds` that decoding has left, and what was done to the picture."""
    try:
        if seconds <= 0:
            raise TimeoutError
        return preprocess.read(
            engine,
            picture.image,
            dpi=picture.dpi,
            languages=tuple(order.languages),
            seconds=seconds,
            effort=order.preprocess,
        )
    except RefusedError as error:
        title, detail = "The engine refuses the image", f"{engine.name} says: {error}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "refused-image", title, detail) from error
    except TimeoutError as error:
        raise slow_page(order.seconds) from error


def _as_json(line: Word, dx: int, dy: int) -> dict[str, Any]:
    """Return a line or word as the API shows it, moved by the corner of the region that was read."""
    left, top, right, bottom = line.bbox
    shown: dict[str, Any] = {
        "text": line.text,
        "bbox": [left + dx, top + dy, right + dx, bottom + dy],
        "polygon": [[x + dx, y + dy] for x, y in line.polygon],
        "confidence": line.confidence,
    }
    return shown | {"words": [_as_json(word, dx, dy) for word in line.words]} if isinstance(line, Line) else shown


# --- the processes


def main() -> NoReturn:
    """Load the engine, then fork a process for every request that comes through the control connection."""
    folder, control = Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2]))
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(name, signal.SIG_IGN)  # they are for the web process, which ends this one by closing its end
    settings = Settings.load(folder)
    try:
        engine = load_engine(settings.engine, settings.model)
    except Exception as error:
        traceback.print_exc()
        messages.send(control, Failed(reason=str(error) or type(error).__name__))
        sys.exit(3)
    messages.send(control, Ready(facts=facts(engine)))
    _template(control, settings, engine)
    sys.exit(0)


def _template(control: socket.socket, settings: Settings, engine: Engine) -> None:
    """Fork and kill as ordered, and report every end, until the web process is gone; then kill all."""
    # A signal writes a byte into this pair, so that the end of a child wakes the selector.
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    children: set[int] = set()
    selector = selectors.DefaultSelector()
    selector.register(control, selectors.EVENT_READ)
    selector.register(woken, selectors.EVENT_READ)
    with contextlib.suppress(EOFError, OSError):
        while True:
            ready = {key.fileobj for key, _ in selector.select()}
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    woken.recv(4096)
                for pid, status in _ended(children):
                    messages.send(control, Ended(pid=pid, status=status))
            if control in ready:
                message, descriptor = messages.receive(control)
                if isinstance(message, Fork) and descriptor is not None:
                    pid = os.fork()
                    if pid == 0:
                        _begin(descriptor, settings, engine)
                    os.close(descriptor)
                    children.add(pid)
                    messages.send(control, Forked(pid=pid))
                elif isinstance(message, Kill) and message.pid in children:
                    os.kill(message.pid, signal.SIGKILL)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _ended(children: set[int]) -> list[tuple[int, int]]:
    """Take the children that ended out of the set, and return them with their exit status."""
    found = []
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            children.discard(pid)
            found.append((pid, os.waitstatus_to_exitcode(status)))
    return found


def _begin(descriptor: int, settings: Settings, engine: Engine) -> NoReturn:
    """Be an engine process, in a fork of the template."""
    status = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _end_with_the_template()
        own = socket.socket(fileno=descriptor)
        if not engine.shares_by_fork:
            engine = load_engine(settings.engine, settings.model)
        _limit_memory(settings.limits.memory_mb)
        _serve(own, engine, settings.limits)
        status = 0
    except BaseException:  # engines in Rust raise panics that are no Exception
        traceback.print_exc()
    finally:
        # The template's exit handlers and buffers are not this process's to run.
        os._exit(status)


def _serve(own: socket.socket, engine: Engine, limits: Limits) -> None:
    """Answer orders until the web process closes the connection."""
    began_mb = resident_mb()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            order, descriptor = messages.receive(own)
            if descriptor is None or not isinstance(order, ReadPage | PreviewPage):
                raise ProtocolError(f"{type(order).__name__} is no order, or came without a document")
            try:
                data = content(descriptor)
            finally:
                os.close(descriptor)
            try:
                answer = perform(engine, limits, order, data)
            except Exception:
                traceback.print_exc()
                answer = Fault()
            messages.send(own, replace(answer, grown_mb=resident_mb() - began_mb))


def _end_with_the_template() -> None:
    """Let the kernel end this process when the template ends, however that comes about (Linux)."""
    parent = os.getppid()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)
        # When memory runs out, one page is lost and not the service.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000", "ascii")


def _limit_memory(mebibytes: int) -> None:
    """Refuse this process more address space than it has now and so much on top."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        limit = pages * resource.getpagesize() + (mebibytes << 20)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
