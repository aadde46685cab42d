"""An engine that does what the picture's width tells it: it comes to the app as another package's would."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from ocrpack.app.engines.base import Line, Page, RefusedError, Word

if TYPE_CHECKING:
    from PIL.Image import Image

FINE, SEGFAULT, HANG, GREEDY, NOISY, REFUSES, BREAKS, LEAKS, SLOW = range(100, 109)


class Misbehaving:
    name = "misbehaving"
    backend = "python"
    version = "1"
    shares_by_fork = True
    self_reliant = True

    def __init__(self) -> None:
        self.kept: list[bytes] = []

    def read(self, image: Image, dpi: int | None, languages: tuple[str, ...], seconds: float) -> Page:
        match image.width:
            case 101:
                os.kill(os.getpid(), signal.SIGSEGV)
            case 102:
                time.sleep(600)
            case 103:
                bytearray(1 << 40)
            case 104:
                sys.stdout.write("noise on stdout\n" * 1000)
                sys.stdout.flush()
            case 105:
                raise RefusedError("not this one")
            case 106:
                raise ZeroDivisionError("a secret detail")
            case 107:
                self.kept.append(os.urandom(600 << 20))
            case 108:
                time.sleep(0.3)
        text = f"{os.getpid()} {image.height}"
        box = (0, 0, image.width, image.height)
        corners = ((0, 0), (image.width, 0), (image.width, image.height), (0, image.height))
        return Page(text, 0.0, (Line(text, box, corners, 0.9, (Word(text, box, corners, 0.9),)),))

    def turn(self, image: Image) -> int | None:
        return None


def load(model: object) -> Misbehaving:
    return Misbehaving()
