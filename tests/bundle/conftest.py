"""Bundle sources written in place, and builds in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ocrpack.bundle import Archive, BuildListener, BuildOptions, build
from tests.conftest import MINI_APP

TRAINED = (24).to_bytes(4, "little") + bytes(range(200)) * 4
"""Bytes that begin as a traineddata file does."""


@dataclass
class Maker:
    """Writes sources below a folder, and builds them."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    def source(self, place="source", *, app=MINI_APP, weights=None, extra=None, **more):
        folder = self.folder / place
        (folder / "samples").mkdir(parents=True)
        (folder / "app.py").write_text(app.replace("VERSION", "'1'"), encoding="utf-8")
        (folder / "requirements.txt").write_text(more.pop("requirements_text", ""), encoding="utf-8")
        (folder / "samples" / "a.txt").write_text("HELLO", encoding="utf-8")
        for name, content in (extra or {}).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        descriptor = {
            "schema_version": 1,
            "name": "mini",
            "version": "1.0",
            "model": {"name": "echo", "version": "1", "weights": weights or []},
            "samples": [{"image": "samples/a.txt", "text": "HELLO", "max_cer": 0.0}],
            **more,
        }
        (folder / "descriptor.json").write_text(json.dumps(descriptor, ensure_ascii=False), encoding="utf-8")
        return folder

    def build(self, source, output=None, *, progress=None, **options):
        out = output or self.folder / "out"
        if output is None:
            out.mkdir(exist_ok=True)
        listener = BuildListener(lambda total: None, progress or (lambda count: None), self.lines.append)
        return build(source, out, BuildOptions(**options), listener)

    def built(self, **more):
        """Build a source and return what the archive says of it: manifest and descriptor."""
        made = self.build(self.source(**more))
        with Archive(made.path) as archive:
            return made, archive.manifest, json.loads(archive.read("descriptor.json"))

    def guide(self, **more):
        made = self.build(self.source(**more))
        with Archive(made.path) as archive:
            return archive.read("SETUP.md").decode()


@pytest.fixture
def maker(tmp_path):
    return Maker(tmp_path)


@pytest.fixture
def codes():
    """Return the codes of an error's findings."""
    return lambda caught: [finding.code for finding in caught.value.findings]
