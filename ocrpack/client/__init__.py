"""Send images to a running OCR service, and write or score what it reads.

Reading order: `inputs.py` (find the files), `patience.py` and `connection.py` (send HTTP requests, repeat those that
may succeed later), `ocr_api.py` (speak the service's API), `results.py` (name and write the files of results),
`parallel.py`, `pictures.py` (draw boxes on pages), and `reading.py`, which puts these together; then `score.py`,
`evaluate.py` and `report.py` (compare with the true text).
"""

from ocrpack.client.connection import Address, Connection
from ocrpack.client.evaluate import Pair, Result, Scores, evaluate, pairs
from ocrpack.client.inputs import Source, gather
from ocrpack.client.ocr_api import Options, Output, Service
from ocrpack.client.patience import Patience
from ocrpack.client.reading import Order, Outcome, content, read_all
from ocrpack.client.report import render_report
from ocrpack.client.results import Place
from ocrpack.client.results import write as write_result

__all__ = [
    "Address",
    "Connection",
    "Options",
    "Order",
    "Outcome",
    "Output",
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
