"""The reader's wing: images go through a running service, and what comes back is put in its place or scored.

Reading order: `inputs.py` (what is to be read), `results.py` (where results go), `patience.py` and `connection.py`
(HTTP, again and again where that helps), `service.py` (an input's way through the service), `parallel.py`,
`pictures.py`, and `reading.py`, which puts these together; then `score.py`, `evaluate.py` and `report.py`: how well it
was read.
"""

from ocrpack.client.connection import Address, Connection
from ocrpack.client.evaluate import Pair, Result, Scores, evaluate, pairs
from ocrpack.client.inputs import Source, gather
from ocrpack.client.ocr_api import Options, Service
from ocrpack.client.patience import Patience
from ocrpack.client.reading import Order, Outcome, content, read_all
from ocrpack.client.report import render_report
from ocrpack.client.results import EXTENSIONS, Place
from ocrpack.client.results import write as write_result

__all__ = [
    "EXTENSIONS",
    "Address",
    "Connection",
    "Options",
    "Order",
    "Outcome",
    "Pair",
    "Patience",
    "Place",
    "Result",
    "Scores",
    "Service",
    "Source",
    "content",
    "evaluate",
    "gather",
    "pairs",
    "read_all",
    "render_report",
    "write_result",
]
