"""Generations without processes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from ocrpack.deploy.store.state import Launch
from ocrpack.deploy.system.processes import Identity


def launch(**more):
    values = {
        "python": "/p",
        "pycache": "/c",
        "entrypoint": "app:app",
        "interface": "wsgi",
        "workers": 2,
        "threads": 1,
        "boot_seconds": 20,
        "request_seconds": 30,
        "env": {},
        "secrets": (),
    }
    return Launch(**{**values, **more})


class FakeIdentity(Identity):
    """A process that is not there; a kill of its group ends its master."""

    def kill_group(self):
        self.master.end(-9)


class FakeMaster:
    """A master that ends when the test says so."""

    def __init__(self, pid):
        self.identity = FakeIdentity(pid, "then", "this boot")
        object.__setattr__(self.identity, "master", self)
        self._status, self._over = None, threading.Event()

    def end(self, status):
        self._status = status
        self._over.set()

    def ended(self):
        return self._status

    def wait(self, seconds=None):
        self._over.wait(seconds)
        return self._status


@dataclass
class FakeGeneration:
    """Its workers follow the gate at once, unless it is `deaf`."""

    number: int
    release: str = "1.0-a"
    launch: Launch = field(default_factory=launch)
    deaf: bool = False
    stubborn: bool = False
    is_open: bool = False
    left: bool = False
    started: float = 0.0

    def __post_init__(self):
        self.master, self.writer = FakeMaster(1000 + self.number), FakeMaster(2000 + self.number)
        self.private = Path(f"/run/{self.number}/private.sock")
        self.finished = 0

    def open_gate(self):
        self.is_open = True

    def close_gate(self):
        self.is_open = False

    def accepting(self):
        return self.launch.workers if self.is_open and not self.deaf else 0

    def progress(self):
        return self.finished

    def leave(self):
        self.left = True
        self.master.end(0)
        return self.stubborn

    def outlive_master(self):
        pass

    def keep_log(self, deployment):
        pass
