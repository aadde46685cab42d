"""gunicorn's configuration of a generation (`gunicorn --config` with this file's path).

It runs in the app's environment, where ocrpack is not installed: it has the standard library and gunicorn alone.
So this folder is loaded as a package by its path; no folder of ours is put on `sys.path`, where the app might find it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

_PACKAGE = "ocrpack_app_server"
_WORKERS = {
    "wsgi": ("wsgi_worker", "GatedThreadWorker"),
    "asgi": ("asgi_worker", "GatedUvicornWorker"),
    "aiohttp": ("aiohttp_worker", "GatedWebWorker"),
}


def _load(module: str) -> Any:
    """Return a module of this folder."""
    if _PACKAGE not in sys.modules:
        here = Path(__file__).parent
        spec = importlib.util.spec_from_file_location(
            _PACKAGE, here / "__init__.py", submodule_search_locations=[str(here)]
        )
        assert spec is not None and spec.loader is not None
        sys.modules[_PACKAGE] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[_PACKAGE])
    return importlib.import_module(f"{_PACKAGE}.{module}")


_gate = _load("gate")
_gate.take_secrets()
_told = _gate.told
_module, _class = _WORKERS[_told.interface]
_worker = getattr(_load(_module), _class)

# What is imported from here on is the app's, whose compiled modules must not come to lie in the release.
sys.pycache_prefix = os.environ.get("PYTHONPYCACHEPREFIX")

# gunicorn reads the names below as its settings.
worker_class = _worker
bind = [f"fd://{descriptor}" for descriptor in _told.listeners]
workers = _told.workers
threads = _told.threads if _told.interface == "wsgi" else 1
timeout = _told.request_seconds
graceful_timeout = _told.drain_seconds
max_requests = _told.max_requests
# So that not all workers are replaced at once.
max_requests_jitter = _told.max_requests // 10
keepalive = 15
worker_tmp_dir = _told.run
control_socket_disable = True
pythonpath = _told.release
errorlog = "-"
accesslog = None
certfile, keyfile = _told.certificate or None, _told.key or None
proc_name = _told.title
when_ready, post_worker_init, child_exit = _gate.when_ready, _gate.post_worker_init, _gate.child_exit
