"""Deploys without a network, thin bundles, and what is shared between versions."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ocrpack.bundle import Hasher, Manifest
from ocrpack.bundle.format.archive_writer import ArchiveWriter
from ocrpack.bundle.format.manifest import order
from tests.conftest import MINI_APP
from tests.index import Index, make_wheel
from tests.patience import PATIENCE
from tests.variants import slow

ALONE = """
import fcntl, os, socket, struct, sys
with socket.socket() as probe:
    fcntl.ioctl(probe, 0x8914, struct.pack("16sH14x", b"lo", 1))
    try:
        probe.settimeout(5)
        probe.connect(("192.0.2.1", 80))
        sys.exit("there is a network")
    except OSError:
        pass
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Bring loopback up, make sure that nothing else can be reached, and run a command."""


def unshared():
    """Return the words that run a command in a network namespace of its own, in which there is loopback alone."""
    words = ["unshare", *(["-r"] if os.getuid() else []), "-n", sys.executable, "-c", ALONE]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("may not make a network namespace")
    return words


@pytest.fixture
def alone(machine):
    """Run a command without a network."""
    words = unshared()

    def run(*arguments, status=0):
        done = subprocess.run(
            [*words, *machine.argv(*arguments)], cwd=machine.folder, env=machine.env, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done

    return run


@pytest.fixture
def index():
    wheels = [make_wheel("ocr-core", "1.0"), make_wheel("ocr-elsewhere", "1.0", tag="cp39-cp39-win_amd64")]
    with Index(wheels) as served:
        yield served


def with_wheels(machine, index, *words, version="1.0", **more):
    app = "import ocr_core\n" + MINI_APP
    text = f"--extra-index-url {index.url}\nocr-core\n"
    source = machine.source(version=version, app=app, requirements_text=text, **more)
    machine.run("build", source, "-o", machine.folder, *(words or ["--wheels"]))
    return machine.folder / f"mini-{version}.zip"


@pytest.mark.parametrize("installer", ["uv", *slow("pip")])
def test_a_deploy_without_a_network(machine, index, alone, installer):
    bundle = with_wheels(machine, index)
    (machine.folder / "cache").mkdir()
    machine.env.update(UV_CACHE_DIR=str(machine.folder / "cache"), PIP_CACHE_DIR=str(machine.folder / "cache"))
    done = alone("deploy", bundle, "--no-tag", "--installer", installer)
    assert "from the bundle's wheels" in done.stderr
    alone("remove", "mini", "--yes")


def test_the_second_deploy_with_the_same_lock_installs_nothing(machine, index, alone):
    machine.deploy(with_wheels(machine, index))
    index.asked.clear()
    newer = with_wheels(machine, index, version="1.1", text="OTHER TEXT")
    index.asked.clear()
    done = machine.deploy(newer, "--offline")
    assert "reused " in done.err
    assert index.asked == []
    releases = sorted((machine.app_folder() / "releases").glob("1.*"))
    one, other = (next((release / "wheels").glob("ocr_core*")).stat() for release in releases)
    assert one.st_ino == other.st_ino, "wheels are on the disk once"


def test_a_wheel_for_another_machine(machine, index):
    index.files.update([make_wheel("ocr-native", "1.0", tag="cp311-cp311-manylinux_2_17_s390x")])
    text = f"--extra-index-url {index.url}\nocr-native\n"
    source = machine.source(requirements_text=text)
    machine.run("build", source, "-o", machine.folder, "--platform", "manylinux_2_28_s390x", "--python", "3.11")
    failed = machine.deploy(machine.folder / "mini-1.0.zip", "--offline", "--json", status=12).json["error"]
    (finding,) = failed["findings"]
    assert finding["code"] == "wheel-missing"
    assert "no wheel of ocr-native 1.0 for Python 3." in finding["message"]
    assert finding["got"] == "ocr_native-1.0-cp311-cp311-manylinux_2_17_s390x.whl"
    assert not machine.root.exists()


def test_a_package_that_is_not_what_was_locked(machine, index):
    """The index has another file by that name: its hash is not the lock's."""
    bundle = with_wheels(machine, index, "--force")
    name, data = make_wheel("ocr-core", "1.0", module="print('evil')\n")
    index.files[name] = data
    machine.env["UV_CACHE_DIR"] = str(machine.folder / "cache")
    failed = machine.deploy(bundle, status=13)
    assert "hash" in failed.err.lower()
    assert not list((machine.root / "environments").glob("[!.]*"))


def test_an_import_that_fails_names_the_library(machine, index):
    broken = "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')\n"
    index.files.update([make_wheel("ocr-core", "1.0", module=broken)])
    failed = machine.deploy(with_wheels(machine, index), status=13)
    assert "needs the library libGL.so.1" in failed.err
    assert "apt-get install libgl1" in failed.err
    assert not machine.listening()


@pytest.mark.slow
def test_an_import_that_fails_deeper_down(machine, index):
    index.files.update([make_wheel("ocr-core", "1.0", module="import cv2\n")])
    failed = machine.deploy(with_wheels(machine, index), status=13)
    assert "No module named 'cv2'" in failed.err


# --- thin bundles

WEIGHTS = {"name": "m", "version": "1", "weights": [{"path": "weights/m.bin", "role": "recognition"}]}


def weighty(machine, *words, version="1.0", content=b"model" * 1000, **more):
    source = machine.source(version=version, model=more.pop("model", WEIGHTS), **more)
    (source / "weights").mkdir()
    (source / "weights" / "m.bin").write_bytes(content)
    made = machine.run("build", source, "-o", machine.folder, "--force", "--json", *words).json
    return machine.folder / f"mini-{version}.zip", made["digest"]


def test_a_thin_bundle_is_the_same_bundle_without_its_weights(machine):
    full, digest = weighty(machine)
    whole = full.read_bytes()
    thin, same = weighty(machine, "--thin")
    assert digest == same
    assert b"modelmodel" in whole
    assert b"modelmodel" not in thin.read_bytes()
    assert "1 weight left out" in machine.run("verify", thin).out
    assert machine.run("verify", thin, "--json").json["absent"] == ["weights/m.bin"]
    weights = machine.run("inspect", thin, "--json").json["weights"]
    assert weights[0]["inside"] is False


@pytest.mark.slow
def test_where_the_weights_of_a_thin_bundle_come_from(machine):
    thin, _ = weighty(machine, "--thin")
    failed = machine.deploy(thin, "--json", status=12).json["error"]
    assert failed["findings"][0]["code"] == "weights-missing"
    assert not machine.root.exists()
    folder = machine.folder / "my weights"
    folder.mkdir()
    (folder / "m.bin").write_bytes(b"other" * 1000)
    failed = machine.deploy(thin, "--weights", folder, "--json", status=11).json["error"]
    assert failed["findings"][0]["got"] != failed["findings"][0]["expected"]
    (folder / "m.bin").write_bytes(b"model" * 1000)
    machine.deploy(thin, "--weights", folder)
    blob = next((machine.root / "blobs" / "sha256").glob("[0-9a-f]*"))
    newer, _ = weighty(machine, "--thin", version="1.1")
    machine.deploy(newer)
    linked = machine.app_folder() / "current" / "weights" / "m.bin"
    assert linked.stat().st_ino in {blob.stat().st_ino for blob in blob.parent.iterdir()}


@pytest.mark.slow
def test_the_weights_of_a_new_version_are_not_written_again(machine):
    machine.deploy(weighty(machine)[0])
    newer, _ = weighty(machine, version="1.1")
    machine.deploy(newer)
    folders = sorted((machine.app_folder() / "releases").glob("1.*"))
    assert len({(folder / "weights" / "m.bin").stat().st_ino for folder in folders}) == 1
    machine.run("verify", "mini")


def test_a_thin_bundle_that_is_measured(machine):
    thin, _ = weighty(machine, "--thin", "--test")
    assert machine.run("inspect", thin, "--json").json["measured"]


# --- bundles that deploy themselves


def python_alone(machine, *words, prefix=(), status=0):
    env = {name: machine.env[name] for name in ("HOME", "XDG_CACHE_HOME") if name in machine.env}
    env |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_", "SSL_"))}
    env |= {"PATH": os.defpath, "XDG_CACHE_HOME": str(machine.folder / "cache"), "OCRPACK_ROOT": str(machine.root)}
    done = subprocess.run(
        [*prefix, getattr(sys, "_base_executable", sys.executable), *words], cwd=machine.folder, env=env,
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done


def test_a_bundle_tells_what_it_is(machine):
    bundle = machine.bundle(summary="Reads text")
    shown = python_alone(machine, bundle).stdout
    assert "mini 1.0: Reads text" in shown
    assert f"python3 {bundle.name} deploy" in shown
    assert not (machine.folder / "cache").exists()


@pytest.mark.slow
def test_a_bundle_deploys_itself_from_the_index(machine):
    bundle = machine.bundle()
    done = python_alone(machine, bundle, "deploy", "--no-tag")
    assert "serves on" in done.stdout
    assert machine.get()["version"] == "1.0"
    assert "running" in python_alone(machine, bundle, "status").stdout
    assert "is sound" in python_alone(machine, bundle, "verify").stdout
    assert python_alone(machine, bundle, "nonsense", status=2).stderr


def test_a_bundle_deploys_itself_without_a_network(machine):
    source = machine.source()
    machine.run("build", source, "-o", machine.folder, "--self-contained")
    bundle = machine.folder / "mini-1.0.zip"
    words = unshared()
    done = python_alone(machine, bundle, "deploy", "--no-tag", prefix=words)
    assert "serves on" in done.stdout
    assert machine.processes()
    with zipfile.ZipFile(bundle) as archive:
        assert archive.testzip() is None
        assert any(name.startswith("tool/wheels/uv-") for name in archive.namelist())
    for leftover in Path(machine.folder / "cache" / "ocrpack" / "self").iterdir():
        assert not leftover.name.startswith("making-")
    shutil.rmtree(machine.folder / "cache")


@pytest.mark.slow
def test_what_the_root_holds(machine):
    assert machine.run("list").out == ""
    machine.deploy(weighty(machine, content=b"m" * 100_000)[0])
    machine.deploy(weighty(machine, version="1.1", content=b"m" * 100_000)[0])
    machine.deploy(machine.bundle(version="1.2", truth="WRONG"), status=15)
    rows = machine.run("list", "--json").json["releases"]
    assert [(row["version"], row["standing"]) for row in rows] == [
        ("1.1", "current"), ("1.0", "last good"), ("1.2", "failed"),
    ]  # fmt: skip
    assert len(rows[0]["digest"]) == 64
    table = machine.run("list", "mini").out.splitlines()
    assert table[0].split() == ["NAME", "VERSION", "DIGEST", "STANDING", "PROMOTED", "SIZE"]
    assert len(table) == 4
    before = rows[0]["bytes"]
    machine.deploy(machine.bundle(version="1.3"), "--keep", "1")
    alone = [row["bytes"] for row in machine.run("list", "--json").json["releases"] if row["version"] == "1.1"]
    assert alone == [before + 100_000], "nothing else links to its weights any more"


def test_settings_of_uv_in_a_bundle_are_not_obeyed(machine):
    evil = machine.folder / "evil"
    extra = {"uv.toml": f'cache-dir = "{evil}/cache"\n[pip]\ntarget = "{evil}/target"\n'}
    extra["pyproject.toml"] = '[tool.uv]\nrequired-version = ">=99"\n'
    source = machine.source(files=["uv.toml", "pyproject.toml"])
    for name, text in extra.items():
        (source / name).write_text(text)
    machine.env["OCRPACK_TEST"] = "1"
    (source / "uv.toml").rename(source / "kept.toml")
    (source / "pyproject.toml").rename(source / "kept2.toml")
    document = (source / "descriptor.json").read_text().replace('"uv.toml"', '"kept.toml"')
    (source / "descriptor.json").write_text(document.replace('"pyproject.toml"', '"kept2.toml"'))
    machine.run("build", source, "-o", machine.folder)
    bundle = machine.folder / "mini-1.0.zip"
    renamed = rebuilt(bundle, {"kept.toml": "uv.toml", "kept2.toml": "pyproject.toml"})
    machine.deploy(renamed)
    assert not evil.exists()


def rebuilt(bundle, names):
    """Write a bundle again with other names for some of its files: canonical, though no build made it."""
    with zipfile.ZipFile(bundle) as archive:
        roles = {entry["path"]: entry["role"] for entry in json.loads(archive.read("manifest.json"))["files"]}
        files = {names.get(path, path): (archive.read(path), role) for path, role in roles.items()}
    target = bundle.with_name("rebuilt.zip")
    with target.open("w+b") as file, Hasher() as hasher:
        writer = ArchiveWriter(file, hasher)
        for path in sorted(files, key=lambda path: order(path, files[path][1])):
            writer.add(path, files[path][1], io.BytesIO(files[path][0]), len(files[path][0]))
        writer.finish(Manifest("mini", "1.0", writer.entries))
    return target


def test_a_root_whose_signers_cannot_be_read_takes_nothing(machine):
    machine.root.mkdir(parents=True)
    (machine.root / "allowed_signers").symlink_to("/nonexistent/allowed")
    failed = machine.deploy(machine.bundle(), status=2)
    assert "no file of allowed signers" in failed.err
    assert not (machine.root / "apps").exists()


def test_control_characters_of_a_bundle_do_nothing_to_the_terminal(machine):
    bundle = machine.bundle(summary="\x1b]0;pwned\x07 red \x9b31m")
    shown = machine.run("inspect", bundle).out
    assert "\x1b" not in shown
    assert "\\x1b]0;pwned\\x07" in shown


@pytest.mark.slow
def test_a_bundle_runs_its_own_ocrpack(machine):
    bundle = machine.bundle()
    (machine.folder / "ocrpack").mkdir()
    (machine.folder / "ocrpack" / "__init__.py").write_text("raise SystemExit('another ocrpack')\n")
    assert "is sound" in python_alone(machine, bundle, "verify").stdout
