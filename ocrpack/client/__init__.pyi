from .connection import Address, Connection
from .evaluate import Pair, Result, Scores, evaluate, pairs
from .inputs import Source, gather
from .ocr_api import Options, Output, Service
from .patience import Patience
from .reading import Order, Outcome, content, read_all
from .report import render_report
from .results import Place, write_result

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
