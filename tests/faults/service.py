"""The echo service with places to wait at: it is packed as app.py, beside the echo itself as mini.py.

A place is a file in the folder HOLDS: who comes by leaves a mark beside it and waits until the file is gone.
"""

import os
import time
from pathlib import Path

import mini

HOLDS = Path(os.environ["HOLDS"])
RUN = Path(os.environ["OCRPACK_RUN"])


def hold(place):
    """Wait at a place for as long as it is closed."""
    if (HOLDS / place).exists():
        (HOLDS / f"{place}.reached").touch()
        while (HOLDS / place).exists():
            time.sleep(0.02)


def promoted():
    """Tell whether this generation's gate is open."""
    return (RUN / "gate-open").exists()


def misbehave(environ, start_response):
    """Answer in place of the echo, where a bundle's fault asks for that."""


def app(environ, start_response):
    """Answer as the echo does, after the places that lie on the request's way."""
    path, prober = environ["PATH_INFO"], environ.get("HTTP_USER_AGENT") == "ocrpack"
    if prober and path == "/ocr" and not promoted():
        hold("gate")
    if prober and path == "/healthz" and promoted():
        hold("observe")
    if "HTTP_X_WAIT_AT" in environ:
        hold(environ["HTTP_X_WAIT_AT"])
    return misbehave(environ, start_response) or mini.app(environ, start_response)


hold("boot")
try:
    (RUN / "first-worker").mkdir()
except FileExistsError:
    hold("promote")
