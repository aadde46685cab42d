"""The processors that are really there: affinity and control groups of both kinds."""

from __future__ import annotations

import os
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from ocrpack.app.core import settings
from ocrpack.app.core.cpu_and_memory import processors
from ocrpack.descriptor.format.model import SPARE_THREADS, Limits

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


@pytest.mark.parametrize(
    ("files", "own", "count"),
    [
        ({}, "0::/\n", 8),
        ({"cpu.max": "max 100000"}, "0::/\n", 8),
        ({"cpu.max": "250000 100000"}, "0::/\n", 2),
        ({"cpu.max": "50000 100000"}, "0::/\n", 1),
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, "0::/a/b\n", 3),
        ({"c/cpu.max": "100000 100000"}, "0::/a\n", 8),
        ({"cpu,cpuacct/d/cpu.cfs_quota_us": "400000", "cpu,cpuacct/d/cpu.cfs_period_us": "100000"},
         "4:memory:/x\n3:cpu,cpuacct:/d\n", 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "3:cpu:/\n", 8),
        ({"cpu.max": "junk"}, "0::/\n", 8),
    ],
)  # fmt: skip
def test_quotas_count(tmp_path: Path, eight: None, files: dict[str, str], own: str, count: int) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert processors(tmp_path, tmp_path / "own") == count


def test_without_control_groups_affinity_decides(tmp_path: Path, eight: None) -> None:
    assert processors(tmp_path, tmp_path / "none") == 8


def test_the_apps_own_defaults_are_the_descriptors() -> None:
    """It ships without the descriptor's types, and so has the numbers once more."""
    assert asdict(settings.Limits()) == Limits().model_dump()
    assert settings.SPARE_THREADS == SPARE_THREADS
