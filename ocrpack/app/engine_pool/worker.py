"""One engine process: it takes the pages of documents one by one, decodes them, and reads their text.

The template process loads the engine once; the processes that read are its forks, so that they share the model's memory
where the engine allows that, and a new one is there within milliseconds. Whatever a hostile image does, it does to one
of these processes: they have limits of memory, and whoever handed them the page ends them when its time is up.
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
from ..core.problem import Problem, slow_page
from ..core.processors import resident_mb
from ..core.settings import Settings
from ..core.shared_file import content
from ..engines import load_engine
from ..engines.base import Line, RefusedError
from ..images import documents
from . import messages

if TYPE_CHECKING:
    from PIL import Image

    from ..core.settings import Limits
    from ..engines.base import Engine, Page, Word
    from ..images.decode import Picture
    from .messages import Reply

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of linux/prctl.h


def facts(engine: Engine) -> dict[str, Any]:
    """Return what an engine says about itself, and with how many threads its libraries were told to work."""
    threads = os.environ.get("OMP_THREAD_LIMIT", "")
    return {
        "engine": engine.name,
        "backend": engine.backend,
        "engine_version": engine.version,
        "threads": int(threads) if threads.isdecimal() else None,
    }


def perform(engine: Engine, limits: Limits, task: dict[str, Any], data: bytes) -> Reply:
    """Do one task on a document's bytes, and return the answer; faults of the input are answers too.

    `read` gives one page's text, and its picture as a JPEG where that is wanted; `preview` gives a small JPEG.
    """
    try:
        if task["do"] == "preview":
            return {}, documents.preview(io.BytesIO(data), task["page"], task["side"], limits)
        return _read(engine, limits, task, data)
    except Problem as problem:
        return {"problem": problem.as_dict()}, b""


def _read(engine: Engine, limits: Limits, task: dict[str, Any], data: bytes) -> Reply:
    began = time.monotonic()
    chosen = documents.parse_pages(task["pages"]) if task["pages"] else None
    numbers, picture = documents.page(io.BytesIO(data), limits, chosen, task["page"])
    whole, corner = picture.image, (0, 0)
    if task["region"]:
        corner = (task["region"][0], task["region"][1])
        picture = replace(picture, image=_cut(whole, task["region"]))
    decoded = time.monotonic()
    page, notes = _recognise(engine, picture, task, task["seconds"] - (decoded - began))
    ended = time.monotonic()
    answer = {
        "numbers": numbers,
        "decode": decoded - began,
        "ocr": ended - decoded,
        "warnings": [*picture.warnings, *notes, *([] if page.lines else ["no text was found"])],
        "page": {
            "width": whole.width,
            "height": whole.height,
            "unit": "pixel",
            "dpi": picture.dpi,
            "angle": page.angle,
            "text": page.text,
            "lines": [_as_json(line, *corner) for line in page.lines],
        },
    }
    return answer, documents.jpeg(whole) if task["image"] else b""


def _cut(image: Image.Image, region: list[int]) -> Image.Image:
    left, top, right, bottom = (
        max(0, region[0]),
        max(0, region[1]),
        min(image.width, region[2]),
        min(image.height, region[3]),
    )
    if left >= right or top >= bottom:
        raise Problem(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            "region-outside",
            "The region is outside the image",
            f"The image has {image.width} x {image.height} pixels; the region {region} leaves nothing of it.",
        )
    return image.crop((left, top, right, bottom))


def _recognise(engine: Engine, picture: Picture, task: dict[str, Any], seconds: float) -> tuple[Page, list[str]]:
    try:
        if seconds <= 0:
            raise TimeoutError
        return preprocess.read(
            engine, picture.image, picture.dpi, tuple(task["languages"]), seconds, task["preprocess"]
        )
    except RefusedError as error:
        title, detail = "The engine refuses the image", f"{engine.name} says: {error}"
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, "refused-image", title, detail) from error
    except TimeoutError as error:
        raise slow_page(task["seconds"]) from error


def _as_json(line: Word, dx: int, dy: int) -> dict[str, Any]:
    """Return a line or word as the API shows it, moved to where its part of the image lies."""
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
        messages.send(control, {"failed": str(error) or type(error).__name__})
        sys.exit(3)
    messages.send(control, {"ready": facts(engine)})
    _template(control, settings, engine)
    sys.exit(0)


def _template(control: socket.socket, settings: Settings, engine: Engine) -> None:
    """Fork, tell who ended and how, and kill whom it is told to, until the web process is gone; then all end."""
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
                    messages.send(control, {"ended": pid, "status": status})
            if control in ready:
                message, _, descriptor = messages.receive(control)
                if descriptor is not None:
                    pid = os.fork()
                    if pid == 0:
                        _begin(descriptor, settings, engine)
                    os.close(descriptor)
                    children.add(pid)
                    messages.send(control, {"forked": pid})
                elif message["kill"] in children:
                    os.kill(message["kill"], signal.SIGKILL)
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _ended(children: set[int]) -> list[tuple[int, int]]:
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
    except BaseException:
        traceback.print_exc()
    finally:
        # The template's exit handlers and buffers are not this process's to run.
        os._exit(status)


def _serve(own: socket.socket, engine: Engine, limits: Limits) -> None:
    began_mb = resident_mb()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            task, _, descriptor = messages.receive(own)
            assert descriptor is not None
            try:
                data = content(descriptor)
            finally:
                os.close(descriptor)
            try:
                reply = perform(engine, limits, task, data)
            except Exception:
                traceback.print_exc()
                reply = {"fault": True}, b""
            message, blob = reply
            messages.send(own, message | {"grown_mb": resident_mb() - began_mb}, blob)


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
