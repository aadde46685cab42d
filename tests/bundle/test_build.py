"""What a build packs, where it writes, and that it is the same everywhere."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ocrpack import __version__
from ocrpack.bundle import Archive
from ocrpack.errors import BundleError, ConflictError, DescriptorError, PreflightError
from tests.bundle.conftest import TRAINED
from tests.conftest import REPOSITORY
from tests.patience import PATIENCE

WEIGHT = {"path": "weights/eng.traineddata", "role": "language"}


def test_contents_and_roles(maker):
    made, manifest, descriptor = maker.built(
        weights=[WEIGHT],
        extra={
            "weights/eng.traineddata": TRAINED, "LICENSE": b"MIT", "NOTICE.md": b"thanks", "README.md": b"hello",
            "lib/more.py": b"x = 1\n", "base.txt": b"", "truth.txt": b"HELLO", "unnamed.txt": b"not packed",
        },
        requirements_text="-r base.txt\n",
        files=["lib/"],
        samples=[{"image": "samples/a.txt", "text_file": "truth.txt"}],
    )  # fmt: skip
    roles = {entry.path: entry.role for entry in manifest.files}
    assert roles == {
        "app.py": "app", "LICENSE": "licence", "NOTICE.md": "licence", "README.md": "file", "lib/more.py": "file",
        "requirements.txt": "requirements", "base.txt": "requirements", "requirements.lock": "lock",
        "samples/a.txt": "sample", "truth.txt": "sample", "weights/eng.traineddata": "weights",
        "descriptor.json": "descriptor", "SETUP.md": "guide", "sbom.cdx.json": "sbom",
        "__main__.py": "tool", f"tool/ocrpack-{__version__}-py3-none-any.whl": "tool",
    }  # fmt: skip
    (weight,) = descriptor["model"]["weights"]
    assert weight == {**WEIGHT, "sha256": hashlib.sha256(TRAINED).hexdigest(), "size": len(TRAINED)}
    assert made.bytes == made.path.stat().st_size
    assert made.path.name == "mini-1.0.zip"
    assert manifest.digest == hashlib.sha256(zipfile.ZipFile(made.path).read("manifest.json")).hexdigest()


def test_other_programs_read_it(maker):
    made, manifest, _ = maker.built(extra={"data/ä ö 漢字.bin": os.urandom(3 << 20)}, files=["data/"])
    with zipfile.ZipFile(made.path) as other:
        assert other.testzip() is None
        assert other.namelist() == [*[entry.path for entry in manifest.files], "manifest.json"]
        assert {info.compress_type for info in other.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in other.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {info.external_attr >> 16 for info in other.infolist()} == {0o100644}
        for entry in manifest.files:
            assert hashlib.sha256(other.read(entry.path)).hexdigest() == entry.sha256
    if shutil.which("unzip"):
        subprocess.run(["unzip", "-tq", made.path], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["unzip", "-q", made.path, "-d", maker.folder / "x"], check=True, env={"LC_ALL": "C.UTF-8"})
        assert (maker.folder / "x" / "data" / "ä ö 漢字.bin").stat().st_size == 3 << 20


@pytest.mark.parametrize("engine", [None, "tesseract"])
def test_the_embedded_package_is_packed_for_an_engine_alone(maker, engine):
    app = {"entrypoint": "app:app", **({"engine": engine} if engine else {})}
    made = maker.build(_with_app(maker, app))
    with Archive(made.path) as archive:
        packed = {entry.path for entry in archive.manifest.having("package")}
    assert {
        "ocrpack/__init__.py",
        "ocrpack/app/web/server.py",
        "ocrpack/app/engines/tesseract.py",
    } <= packed or not engine
    assert bool(packed) == bool(engine)
    assert not any("__pycache__" in path or path.startswith("ocrpack/deploy") for path in packed)


def _with_app(maker, app):
    source = maker.source()
    descriptor = json.loads((source / "descriptor.json").read_text())
    (source / "descriptor.json").write_text(json.dumps({**descriptor, "app": app}))
    return source


def test_the_same_bytes_on_any_machine(maker):
    """Two copies that differ in all that must not matter: folder, times, modes, umask, locale, zone, order of files."""
    source = maker.source(
        weights=[WEIGHT],
        extra={
            "weights/eng.traineddata": TRAINED,
            **{f"data/{n}.bin": bytes([n]) for n in range(40)},
            "data/é.txt": b"e",
        },
        files=["data/"],
    )
    other = maker.folder / "elsewhere" / "another name" / "src"
    for file in sorted((path for path in source.rglob("*") if path.is_file()), reverse=True):
        copy = other / file.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
        os.utime(copy, (1, 1_000_000_000))
        copy.chmod(0o755)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "PYTHON"))}
    env |= {"PYTHONPATH": str(REPOSITORY)}
    found = []
    for number, (place, cwd, more, mask) in enumerate(
        [
            (source, REPOSITORY, {"TZ": "UTC", "LC_ALL": "C", "PYTHONHASHSEED": "1"}, "022"),
            (Path(), other, {"TZ": "Pacific/Apia", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2", "NO_COLOR": "1"}, "077"),
        ]
    ):
        target = maker.folder / f"{number}.zip"
        command = f'umask {mask}; exec "$@"'
        argv = ["sh", "-c", command, "-", sys.executable, "-m", "ocrpack", "build", place, "-o", target, "-q"]
        subprocess.run(argv, cwd=cwd, env={**env, **more}, check=True, stdout=subprocess.DEVNULL)
        found.append(target.read_bytes())
    assert found[0] == found[1]


def test_each_file_is_read_once_and_written_once(maker):
    size = 48 << 20
    source = maker.source(weights=[{"path": "weights/model.bin", "role": "recognition"}], extra={"weights/x": b""})
    with (source / "weights" / "model.bin").open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    code = (
        "import sys\nfrom pathlib import Path\nfrom ocrpack.bundle import build, BuildListener, BuildOptions\n"
        "def io(): return [int(line.split()[1]) for line in open('/proc/self/io')][:2]\n"
        "nothing = lambda *_: None\nread, written = io()\n"
        f"build(Path({str(source)!r}), Path({str(maker.folder / 'one.zip')!r}), BuildOptions(),"
        " BuildListener(nothing, nothing, nothing))\n"
        "again = io(); print(again[0] - read, again[1] - written)\n"
    )
    if not Path("/proc/self/io").exists():
        pytest.skip("no /proc/self/io")
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, capture_output=True, text=True)
    read, written = map(int, done.stdout.split())
    assert size <= read < size + (8 << 20)
    assert size <= written < size + (2 << 20)  # the tool itself is inside, too


def test_an_existing_bundle(maker):
    source = maker.source()
    first = maker.build(source)
    assert not first.unchanged
    stamp = first.path.stat().st_mtime_ns
    assert maker.build(source).unchanged
    assert first.path.stat().st_mtime_ns == stamp
    before = first.path.read_bytes()
    (source / "samples" / "a.txt").write_text("OTHER")
    with pytest.raises(ConflictError, match="other content") as caught:
        maker.build(source)
    assert "--force" in caught.value.remedy
    assert first.path.read_bytes() == before
    assert not maker.build(source, force=True).unchanged
    assert first.path.read_bytes() != before
    assert [file.name for file in first.path.parent.iterdir()] == ["mini-1.0.zip"]


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\5\6" + bytes(18)])
def test_something_else_at_the_bundles_place(maker, content):
    target = maker.folder / "mini-1.0.zip"
    target.write_bytes(content)
    with pytest.raises(ConflictError, match="no sound bundle"):
        maker.build(maker.source(), target)
    assert target.read_bytes() == content


def test_a_damaged_bundle_of_the_same_digest_is_no_unchanged_one(maker):
    source = maker.source(extra={"data.bin": b"x" * 1000}, files=["data.bin"])
    made = maker.build(source)
    data = made.path.read_bytes()
    made.path.write_bytes(data.replace(b"x" * 1000, b"x" * 999 + b"y"))
    assert not maker.build(source, force=True).unchanged
    assert made.path.read_bytes() == data


def test_output_is_a_file_or_a_folder(maker):
    source = maker.source()
    assert maker.build(source, maker.folder / "new" / "folder").path == maker.folder / "new" / "folder" / "mini-1.0.zip"
    file = maker.folder / "deep" / "er" / "my bundle ä.zip"
    assert maker.build(source, file).path == file
    folder = maker.folder / "some folder"
    folder.mkdir()
    assert maker.build(source, folder).path == folder / "mini-1.0.zip"
    assert file.read_bytes() == (folder / "mini-1.0.zip").read_bytes()


def test_the_default_output(machine):
    source = machine.source()
    made = machine.run("build", cwd=source, env={"LC_ALL": "C"}).out
    assert made.strip() == "dist/mini-1.0.zip"
    again = machine.run("build", "--json", cwd=source).json
    assert again["unchanged"] is True, "the bundle itself is not packed"


def test_names_with_spaces_and_other_scripts(maker):
    names = ["data/a b.txt", "data/日本語/ñandú.txt", "data/emoji 🙂.bin"]
    made, manifest, _ = maker.built(
        place="quelle mit Ümlaut",
        extra={**dict.fromkeys(names, b"x"), "meine Bilder/bild 1.txt": b"HELLO"},
        files=["data/"],
        samples=[{"image": "meine Bilder/bild 1.txt", "text": "HELLO"}],
    )
    assert {*names, "meine Bilder/bild 1.txt"} <= {entry.path for entry in manifest.files}
    assert made.path.exists()


def test_build_commands_run_and_are_logged(maker):
    source = maker.source(
        build_commands=["echo making $((6 * 7)) && mkdir gen && echo made > gen/out.txt", "echo on stderr >&2"],
        files=["gen/"],
    )
    made = maker.build(source)
    with Archive(made.path) as archive:
        assert archive.read("gen/out.txt") == b"made\n"
    log = (maker.folder / "out" / "mini-1.0.build.log").read_text()
    assert "making 42" in log
    assert "on stderr" in log
    assert log.splitlines()[0][24:] == " $ echo making $((6 * 7)) && mkdir gen && echo made > gen/out.txt"
    assert "making 42" in maker.lines


def test_a_build_command_that_fails(maker):
    source = maker.source(build_commands=["echo before; echo reason >&2; exit 3", "touch never"])
    with pytest.raises(DescriptorError, match="reason") as caught:
        maker.build(source)
    assert "mini-1.0.build.log" in caught.value.remedy
    assert not (source / "never").exists()
    assert [file.name for file in (maker.folder / "out").iterdir()] == ["mini-1.0.build.log"]


@pytest.mark.parametrize("change", ["grow", "shrink"])
def test_a_file_that_changes_while_it_is_packed(maker, change):
    source = maker.source(extra={"big.bin": bytes(8 << 20)}, files=["big.bin"])
    seen = []

    def progress(count):
        if count >= 1 << 20 and not seen:
            seen.append(count)
            os.truncate(source / "big.bin", (9 << 20) if change == "grow" else (4 << 20))

    with pytest.raises(BundleError, match=r"big\.bin changed while it was packed"):
        maker.build(source, progress=progress)
    assert seen
    assert not list((maker.folder / "out").iterdir())


def _tmpfs(folder, options):
    folder.mkdir()
    if os.name == "nt" or os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("may not mount")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("may not mount")


def test_a_source_and_weights_on_a_read_only_disk(maker):
    disk = maker.folder / "disk"
    _tmpfs(disk, "size=20m")
    try:
        weights = disk / "eng.traineddata"
        weights.write_bytes(TRAINED)
        source = maker.source("disk/source", weights=[{**WEIGHT, "source": str(weights)}])
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert maker.build(source).path.exists()
        with pytest.raises(PreflightError, match="Read-only file system"):
            maker.build(source, source)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_disk_that_fills_up_while_building(maker):
    disk = maker.folder / "disk"
    _tmpfs(disk, "size=40m")
    try:
        (disk / "kept.txt").write_text("kept")
        source = maker.source(extra={"big.bin": bytes(16 << 20)}, files=["big.bin"])

        def fill(_):
            if not (disk / "filler").exists():
                with (disk / "filler").open("wb") as file, pytest.raises(OSError, match="No space"):
                    while True:
                        file.write(bytes(1 << 20))
                        file.flush()

        with pytest.raises(PreflightError, match="No space left") as caught:
            maker.build(source, disk, progress=fill)
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ENOSPC
        assert "free some space" in caught.value.remedy
        assert sorted(file.name for file in disk.iterdir()) == ["filler", "kept.txt"]
        (disk / "filler").unlink()
        assert maker.build(source, disk).path.exists(), "the space came back"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_too_little_space_is_said_before_anything_is_packed(maker):
    disk = maker.folder / "disk"
    _tmpfs(disk, "size=20m")
    try:
        source = maker.source(extra={"big.bin": bytes(16 << 20)}, files=["big.bin"])
        with pytest.raises(PreflightError, match="MiB free, the bundle needs"):
            maker.build(source, disk, progress=lambda count: pytest.fail("packed"))
        assert not list(disk.iterdir())
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing(machine, number):
    source = machine.source(model={"name": "m", "version": "1", "weights": [{"path": "w.bin", "role": "recognition"}]})
    (source / "w.bin").touch()
    os.truncate(source / "w.bin", 8 << 30)
    out = machine.folder / "output"
    out.mkdir()
    process = machine.start("build", source, "-o", out)

    def writing():
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            try:
                if str(out) in str(entry.readlink()) and entry.stat().st_size > 1 << 20:
                    return True
            except OSError:
                continue
        return False

    machine.wait(writing)
    process.send_signal(number)
    status = process.wait(PATIENCE)
    assert status == (-number if number == signal.SIGKILL else 130)
    assert not list(out.iterdir())
    if number != signal.SIGKILL:
        assert "interrupted" in process.stderr.read()


def test_the_summary_names_the_largest_files(machine):
    source = machine.source(files=["big.bin"])
    (source / "big.bin").write_bytes(bytes(5_000_000))
    done = machine.run("build", source)
    assert "5.0 MB  big.bin (file)" in done.err
    assert done.out == "dist/mini-1.0.zip\n"
    answer = machine.run("build", source, "--json").json
    assert {"bundle", "name", "version", "digest", "bytes"} <= answer.keys()


def _elsewhere(place, **options):
    """Build the default bundle from a copy of its own, in another process, and return the digest."""
    source = place / "somewhere" / "else"
    shutil.copytree(REPOSITORY / "bundles" / "tesseract", source, ignore=shutil.ignore_patterns("__pycache__"))
    (place / "home").mkdir()
    user = options.pop("user", None)
    if user is not None:
        for path in (place, *place.rglob("*")):
            os.chown(path, user, user)
    env = {"PATH": os.environ["PATH"], "HOME": str(place / "home"), **options.pop("env")}
    argv = [sys.executable, "-m", "ocrpack", "build", source, "-o", place / "home", "--json"]
    done = subprocess.run(
        argv, cwd=place / "home", env=env, capture_output=True, text=True, check=False, user=user, **options
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["digest"], (place / "home" / "tesseract-1.0.0.zip").read_bytes()


def test_the_same_digest_anywhere(tmp_path, monkeypatch):
    """Two clones in other folders, with another umask, locale, time zone and user."""
    monkeypatch.chdir(REPOSITORY)
    tmp_path.chmod(0o755)
    one = _elsewhere(
        tmp_path / "one", umask=0o022, env={"LC_ALL": "C", "TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1"}
    )
    env = {"LC_ALL": "C.UTF-8", "TZ": "America/Adak", "LANGUAGE": "tr", "PYTHONHASHSEED": "2"}
    other = _elsewhere(tmp_path / "other", umask=0o077, env=env)
    assert one == other
    if _may_run_as(STRANGER):
        for folder in tmp_path.parents:
            if folder.parts[1:2] == ("tmp",) and len(folder.parts) > 2:
                folder.chmod(0o755)
        assert _elsewhere(tmp_path / "third", umask=0o027, env={"TZ": "UTC"}, user=STRANGER) == one


STRANGER = 65534


def _may_run_as(user):
    """Tell whether this user may let another one run this interpreter."""
    argv, env = [sys.executable, "-c", "import ocrpack.cli.main"], {"PATH": os.environ["PATH"]}
    with contextlib.suppress(PermissionError):
        return subprocess.run(argv, user=user, env=env, capture_output=True, check=False).returncode == 0
    return False
