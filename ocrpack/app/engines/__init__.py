"""The OCR engines, and how one is loaded.

An engine is one module with a `load(model) -> Engine` function and one line in `REGISTRY`; another package brings its
own as an entry point of the group `ocrpack.engines` that names such a function. An engine's library is imported inside
its module alone, so that a bundle needs to install only the engine it uses.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from .base import Engine, Line, Model, Page, RefusedError, Weight, Word, corners

__all__ = [
    "ENTRY_POINTS",
    "REGISTRY",
    "Engine",
    "Line",
    "Model",
    "Page",
    "RefusedError",
    "Weight",
    "Word",
    "corners",
    "load_engine",
]

REGISTRY = {
    "tesseract": ".tesseract",
    "rapidocr": ".rapidocr",
}
ENTRY_POINTS = "ocrpack.engines"


def load_engine(name: str, model: Model) -> Engine:
    """Return the named engine with its model in memory.

    Raises:
        RuntimeError: there is no such engine, a weight file is missing, or the engine's library cannot be loaded.
    """
    others = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in REGISTRY and name not in others:
        known = ", ".join([*REGISTRY, *others])
        raise RuntimeError(f"there is no engine {name!r}; the descriptor's app.engine may be: {known}")
    for weight in model.weights:
        if not weight.path.is_file():
            raise RuntimeError(
                f"the {weight.role} weights {weight.path} are missing; run the app from an unpacked bundle, "
                f"or put the file there"
            )
    load = import_module(REGISTRY[name], __package__).load if name in REGISTRY else others[name].load()
    engine: Engine = load(model)
    return engine
