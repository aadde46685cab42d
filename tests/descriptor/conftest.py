"""A sound source folder to break in one way at a time."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ocrpack.descriptor import Source, load_source
from ocrpack.errors import DescriptorError, Finding

SOUND: dict[str, Any] = {
    "$schema": "urn:ocrpack:schema:descriptor:1",
    "schema_version": 1,
    "name": "demo",
    "version": "1.0.0",
    "model": {
        "name": "demo-model",
        "version": "4.1.0",
        "languages": ["eng"],
        "weights": [
            {"path": "weights/eng.traineddata", "role": "language"},
            {
                "path": "weights/detect.onnx",
                "role": "detection",
                "sha256": "0" * 64,
                "source": ["https://example.org/detect.onnx", "~/detect.onnx"],
            },
        ],
    },
    "app": {"entrypoint": "app:app", "engine": "tesseract", "options": {"psm": 3, "scale": 1.5, "tags": ["a"]}},
    "endpoints": [
        {"path": "/ocr", "method": "POST", "purpose": "inference"},
        {"path": "/healthz", "purpose": "health"},
    ],
    "env": {"OMP_THREAD_LIMIT": "1"},
    "secrets": ["OCR_API_TOKEN"],
    "system_packages": [{"name": "libgl1", "library": "libGL.so.1"}],
    "resources": {"memory_mb": 512, "memory_recommended_mb": 1024},
    "files": ["/helpers/"],
    "samples": [
        {"image": "samples/page.png", "text_file": "samples/page.txt", "max_cer": 0.02},
        {"image": "samples/línea dos.png", "text": "zwei"},
    ],
}


class Folder:
    """A source folder: change `data`, or the files below `path`, and look what is found."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data = copy.deepcopy(SOUND)
        self.write("app.py", "from helpers.clean import clean\napp = clean\n")
        self.write("helpers/clean.py", "import json\n\ndef clean() -> None: ...\n")
        self.write("requirements.txt", "flask>=3.1\n")
        self.write("weights/eng.traineddata", "weights")
        self.write("samples/page.png", "image")
        self.write("samples/page.txt", "eins\n")
        self.write("samples/línea dos.png", "image")

    def write(self, name: str, text: str | bytes) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    def save(self) -> None:
        self.write("descriptor.json", json.dumps(self.data, indent=2, ensure_ascii=False))

    def load(self) -> Source:
        self.save()
        return load_source(self.path)

    def findings(self) -> list[Finding]:
        """Return all findings, of sound folders the warnings."""
        try:
            return list(self.load().warnings)
        except DescriptorError as error:
            return list(error.findings)

    def told(self) -> list[tuple[str, str]]:
        """Return code and pointer of all findings."""
        return [(finding.code, (finding.where and finding.where.pointer) or "") for finding in self.findings()]

    def only(self) -> Finding:
        """Return the one finding that there is."""
        findings = self.findings()
        assert len(findings) == 1, findings
        return findings[0]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    path = tmp_path / "eine Quelle"
    path.mkdir()
    return Folder(path)
