"""Run a bundle on this machine, in a root and an environment of its own, and measure what its samples take."""

from __future__ import annotations

import platform
import tempfile
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from ocrpack.bundle import Archive, Machine, Measured, MeasuredSample
from ocrpack.deploy.operations import lifecycle
from ocrpack.deploy.operations.changeover import Callbacks
from ocrpack.deploy.operations.deploy import deploy
from ocrpack.deploy.steps.options import Options
from ocrpack.deploy.store.layout import Deployment, Root
from ocrpack.deploy.supervisor.status import processes
from ocrpack.deploy.system import resources
from ocrpack.deploy.system.resources import MIB
from ocrpack.logs import Event

_EVERY_S = 0.1


def measure(bundle: Path, files: Mapping[str, Path], on_line: Callable[[str], None]) -> bytes:
    """Deploy a bundle aside, and return `measured.json`; `files`, by SHA-256, has the weights that it leaves out.

    It states the character and word error rate and the seconds of each sample, the seconds until the app was ready, and
    the peak of the memory that its processes took, in MiB. Hooks are not run, nothing is tagged, nothing stays behind.

    Raises:
        PreflightError, EnvironmentSetupError, BootError, SmokeError: as `deploy` does.
    """

    def hear(event: Event) -> None:
        if event.event in {"start", "output", "note"}:
            on_line(event.message or event.phase)

    with (
        tempfile.TemporaryDirectory(prefix="ocrpack-test-", ignore_cleanup_errors=True) as name,
        Archive(bundle) as archive,
    ):
        root, given = Root(Path(name, "root")), Path(name, "weights")
        given.mkdir()
        for entry in archive.absent:
            (given / entry.sha256).symlink_to(files[entry.sha256].absolute())
        deployment = root.deployment(archive.manifest.name)
        options = Options(host="127.0.0.1", any_port=True, tag=False, weights=given, hooks=False)
        callbacks = Callbacks(hear, lambda total: None, lambda count: None)
        try:
            with _Peak(deployment) as peak:
                done = deploy(bundle, root, options, callbacks)
        finally:
            lifecycle.remove(root, deployment)
    return Measured(
        machine=Machine(
            python=platform.python_version(), platform=platform.platform(), processors=resources.processors()
        ),
        ready_seconds=round(dict(done.phases)["boot"], 2),
        peak_memory_mb=peak.bytes // MIB,
        samples=tuple(
            MeasuredSample(image=one.image, cer=one.cer or 0.0, wer=one.wer or 0.0, seconds=round(one.seconds, 3))
            for one in done.proof.samples
        ),
    ).data


class _Peak:
    """Looks again and again at the memory that a deployment's processes take together."""

    def __init__(self, deployment: Deployment) -> None:
        self.bytes = 0
        self._deployment = deployment
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory")

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_EVERY_S):
            self.bytes = max(self.bytes, resources.memory_of(processes(self._deployment)))
