"""Every line that docs/api.md gives a shell is run against the service, in the order in which it stands there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from ocrpack.app import create_app
from ocrpack.app.core.settings import Limits
from tests.app.drawings import PROJECT
from tests.patience import PATIENCE
from tests.serving import served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DOCUMENT = (PROJECT / "docs" / "api.md").read_text("utf-8")


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", DOCUMENT, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def test_the_lines_work(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_bundle()
    shutil.copytree(folder / "samples", tmp_path / "samples")
    lines = [line.replace("curl ", "curl --silent --show-error --fail-with-body ") for line in commands()]
    assert len(lines) > 20
    with served(create_app(folder)) as address:
        for line in lines:
            script = f"set -euo pipefail; [ ! -e job.json ] || {job_line()}; {line}"
            environment = {**os.environ, "OCR": address}
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                check=False,
                timeout=PATIENCE,
            )
            assert done.returncode == 0, (line, done.stdout, done.stderr)
            assert done.stdout or "-o" in shlex.split(line) or line.startswith(("JOB=", "while ")), line
    assert (tmp_path / "invoice.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "preview.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (tmp_path / "converted.zip").read_bytes().startswith(b"PK")


def job_line() -> str:
    (line,) = [line for line in commands() if line.startswith("JOB=")]
    return line


def test_all_problems_are_listed() -> None:
    folder = PROJECT / "ocrpack" / "app"
    source = "\n".join(file.read_text("utf-8") for file in folder.rglob("*.py"))
    kinds = set(re.findall(r'Problem\(\s*HTTPStatus\.\w+,\s*"([a-z-]+)"', source))
    assert len(kinds) > 15
    told = set(re.findall(r"`([a-z-]+)`", DOCUMENT[DOCUMENT.index("## Problems") : DOCUMENT.index("## Limits")]))
    assert kinds - {"cancelled"} <= told
    assert told - kinds <= {"type", "detail", "instance", "fault"}


def test_the_limits_are_those_of_the_settings() -> None:
    told = re.findall(r"`(\w+)` \((\d+)", DOCUMENT[DOCUMENT.index("## Limits") :])
    assert {name: float(value) for name, value in told} == vars(Limits())
