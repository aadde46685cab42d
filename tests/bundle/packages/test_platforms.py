"""Kinds of machines: which wheels they take, and which packages they need."""

from __future__ import annotations

import pytest
from packaging.tags import sys_tags

from ocrpack.bundle import Lock, Pin, this_machine
from ocrpack.bundle.packages import platforms
from ocrpack.errors import UsageError


def test_this_machine_takes_what_pip_takes_here():
    import platform

    own = this_machine(platform.python_version())
    assert set(own.tags) == {tag for tag in sys_tags() if not str(tag).startswith("pp")}


@pytest.mark.parametrize(
    ("platform", "takes", "refuses"),
    [
        (
            "manylinux_2_28_x86_64",
            ["cp311-cp311-manylinux_2_28_x86_64", "cp311-cp311-manylinux2014_x86_64", "cp39-abi3-manylinux_2_5_x86_64",
             "py3-none-any", "cp311-cp311-manylinux1_x86_64.manylinux_2_5_x86_64", "cp311-cp311-linux_x86_64"],
            ["cp311-cp311-manylinux_2_34_x86_64", "cp312-cp312-manylinux_2_28_x86_64", "cp311-cp311-win_amd64",
             "cp311-cp311-manylinux_2_28_aarch64", "cp311-cp311-musllinux_1_2_x86_64"],
        ),
        ("musllinux_1_2_x86_64", ["cp311-cp311-musllinux_1_1_x86_64"], ["cp311-cp311-manylinux_2_17_x86_64"]),
        (
            "macosx_14_0_arm64",
            ["cp311-cp311-macosx_11_0_arm64", "cp311-cp311-macosx_10_9_universal2"],
            ["cp311-cp311-macosx_15_0_arm64", "cp311-cp311-macosx_11_0_x86_64"],
        ),
        ("win_amd64", ["cp311-cp311-win_amd64", "py3-none-any"], ["cp311-cp311-win32"]),
    ],
)  # fmt: skip
def test_tags(platform, takes, refuses):
    machine = platforms.named(platform, (3, 11))
    assert [tag for tag in takes if machine.rank(f"x-1.0-{tag}.whl") is None] == []
    assert [tag for tag in refuses if machine.rank(f"x-1.0-{tag}.whl") is not None] == []
    assert machine.rank("no wheel.whl") is None
    assert machine.best([f"x-1.0-{tag}.whl" for tag in ("py3-none-any", takes[0])]) == f"x-1.0-{takes[0]}.whl"


@pytest.mark.parametrize(
    ("platform", "system", "machine", "release"),
    [
        ("manylinux_2_28_aarch64", "linux", "aarch64", ""),
        ("macosx_14_0_arm64", "darwin", "arm64", "23"),
        ("macosx_15_0_x86_64", "darwin", "x86_64", "24"),
        ("macosx_26_0_arm64", "darwin", "arm64", "25"),
        ("win_amd64", "win32", "AMD64", "10"),
    ],
)
def test_markers(platform, system, machine, release):
    environment = platforms.named(platform, (3, 12)).environment
    assert environment["sys_platform"] == system
    assert environment["platform_machine"] == machine
    assert environment["platform_release"].partition(".")[0] == release
    assert Pin("x", "1", platforms.marker(platform)).applies(environment)
    assert Pin("x", "1", 'python_version == "3.12"').applies(environment)
    assert not Pin("x", "1", 'python_version < "3.12"').applies(environment)


def test_what_is_missing():
    pins = (
        Pin("everywhere", "1", hashes=("a", "b")), Pin("windows", "1", "sys_platform == 'win32'", ("c",)),
        Pin("native", "1", hashes=("d",)),
    )  # fmt: skip
    lock = Lock(">=3.11", "", (), pins)
    machine = platforms.named("manylinux_2_28_x86_64", (3, 11))
    wheels = {"everywhere-1-py3-none-any.whl": "b", "native-1-cp312-cp312-manylinux_2_17_x86_64.whl": "d"}
    assert [pin.name for pin in machine.missing(lock, wheels)] == ["native"]
    assert [pin.name for pin in machine.missing(lock, {})] == ["everywhere", "native"]
    assert str(machine) == "Python 3.11 on manylinux_2_28_x86_64"


@pytest.mark.parametrize(
    "name", ["", "linux", "manylinux2014_x86_64", "manylinux_2_x86_64", "macosx_arm64", "win95", "any"]
)
def test_platforms_that_are_none(name):
    with pytest.raises(UsageError, match="no platform") as caught:
        platforms.named(name, (3, 11))
    assert "manylinux_2_28_x86_64" in caught.value.remedy
