"""The lock: what the requirements resolve to, with hashes, on every platform that is asked for."""

from __future__ import annotations

import io
import re
import socket
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocrpack.bundle import Archive, parse_lock, this_machine
from ocrpack.errors import BundleError, DescriptorError, PreflightError, UsageError
from tests.index import Index, make_wheel


@pytest.fixture
def index():
    wheels = [
        make_wheel("ocr-core", "1.0"), make_wheel("ocr-core", "1.1", licence="Apache-2.0"),
        make_wheel("ocr-core", "2.0"),
        make_wheel("ocr-gpu", "1.0+cu128", needs=["ocr-core<2"]), make_wheel("ocr-gpu", "1.0"),
        make_wheel("ocr-extra", "1.0", needs=['ocr-core>=1 ; extra == "all"']),
        make_wheel("ocr-linux", "1.0", tag="cp311-cp311-manylinux_2_17_x86_64"),
        make_wheel("ocr-linux", "1.0", tag="cp311-cp311-macosx_11_0_arm64"),
    ]  # fmt: skip
    with Index(wheels) as served:
        yield served


def lock_of(made):
    with Archive(made.path) as archive:
        return parse_lock(archive.read("requirements.lock"))


def own(lock):
    """Return what a lock pins of the packages of our own index: version and marker by name."""
    return {pin.name: (pin.version, pin.marker) for pin in lock.pins if pin.name.startswith(("ocr-", "vendored"))}


def test_everything_is_pinned_with_hashes(maker, index):
    text = f"--extra-index-url {index.url}\n-r more.txt\n-c limits.txt\nocr-gpu==1.0+cu128\nocr-extra[all]\n"
    source = maker.source(
        requirements_text=text,
        extra={"more.txt": b'ocr-linux ; sys_platform == "linux"\n', "limits.txt": b"ocr-core<1.1\n"},
    )
    lock = lock_of(maker.build(source))
    assert own(lock) == {
        "ocr-core": ("1.0", ""), "ocr-gpu": ("1.0+cu128", ""), "ocr-extra": ("1.0", ""),
        "ocr-linux": ("1.0", 'sys_platform == "linux"'),
    }  # fmt: skip
    assert {"gunicorn"} <= {pin.name for pin in lock.pins}, "the server is locked too"
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for pin in lock.pins for digest in pin.hashes)
    assert {pin.name: pin.licence for pin in lock.pins}["ocr-core"] == "MIT"
    assert lock.options == (f"--extra-index-url {index.url}",)
    assert lock.python == ">=3.11"
    assert parse_lock(lock.data) == lock


def test_pip_takes_it_as_it_is(maker, index, tmp_path):
    source = maker.source(requirements_text=f"--extra-index-url {index.url}\nocr-gpu==1.0+cu128\n")
    with Archive(maker.build(source).path) as archive:
        (tmp_path / "requirements.lock").write_bytes(archive.read("requirements.lock"))
    done = subprocess.run(
        ["python3", "-m", "pip", "install", "--require-hashes", "--dry-run", "--quiet", "--report", "-", "--target",
         tmp_path / "x", "-r", tmp_path / "requirements.lock"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "1.0+cu128" in done.stdout


def test_credentials_stay_at_home(maker, index):
    secret = index.url.replace("://", "://ada:hunter2@")
    made = maker.build(maker.source(requirements_text=f"--extra-index-url {secret}\nocr-core\n"))
    assert "credential-in-requirements" in {finding.code for finding in made.warnings}
    assert b"hunter2" not in made.path.read_bytes()
    assert lock_of(made).options == (f"--extra-index-url {index.url}",)


def test_the_same_source_gives_the_same_lock(maker, index):
    text = f"--extra-index-url {index.url}\nocr-gpu\nocr-extra[all]\n"
    one = maker.build(maker.source("one", requirements_text=text), maker.folder / "1.zip")
    other = maker.build(maker.source("other", requirements_text=text), maker.folder / "2.zip")
    assert one.manifest.digest == other.manifest.digest


def _relock(maker, source, text=None):
    """Put the lock of a build beside the requirements."""
    if text is not None:
        (source / "requirements.txt").write_text(text)
    with Archive(maker.build(source, force=True).path) as archive:
        (source / "requirements.lock").write_bytes(archive.read("requirements.lock"))
    return parse_lock((source / "requirements.lock").read_bytes())


def test_a_lock_in_the_source_is_taken_without_a_network(maker, index, monkeypatch):
    source = maker.source(requirements_text=f"--extra-index-url {index.url}\nocr-core<2\n")
    first = _relock(maker, source)
    index.files.clear()
    index.asked.clear()
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("something was asked"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    assert lock_of(maker.build(source, force=True)) == first
    assert index.asked == []


def test_versions_are_kept_when_the_requirements_change(maker, index):
    text = f"--extra-index-url {index.url}\nocr-core<2\n"
    source = maker.source(requirements_text=text)
    index.files = {name: data for name, data in index.files.items() if "ocr_core-1.1" not in name}
    assert own(_relock(maker, source))["ocr-core"][0] == "1.0"
    index.files.update([make_wheel("ocr-core", "1.1")])
    assert own(_relock(maker, source, text + "ocr-extra\n"))["ocr-core"][0] == "1.0", "kept"
    assert own(_relock(maker, source, text + "ocr-core>1.0\n"))["ocr-core"][0] == "1.1", "it fits no more"


@pytest.mark.parametrize(
    ("lines", "number", "words"),
    [
        ("ocr-core>=2\nocr-gpu==1.0+cu128\n", 2, "ocr-core"),
        ("ocr-core==9\n", 2, "no version of ocr-core==9"),
        ("no-such-package-as-this-one\n", 2, "not found in the package registry"),
    ],
)
def test_a_conflict_is_explained(maker, index, lines, number, words):
    with pytest.raises(DescriptorError, match=words) as caught:
        maker.build(maker.source(requirements_text=f"--extra-index-url {index.url}\n{lines}"))
    first = caught.value.findings[0]
    assert first.code == "unresolvable"
    assert first.where.line == number
    assert first.where.file.endswith("requirements.txt")
    assert "error:" not in caught.value.message


def test_an_index_that_does_not_answer(maker, monkeypatch):
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(PreflightError, match="index cannot be asked") as caught:
        maker.build(maker.source(requirements_text="--index-url http://127.0.0.1:9/simple\nocr-core\n"))
    assert "network" in caught.value.remedy


def _repository(folder):
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "vendored-thing"\nversion = "1.2"\n[build-system]\nrequires = ["hatchling"]\n'
        'build-backend = "hatchling.build"\n[tool.hatch.build.targets.wheel]\ninclude = ["thing.py"]\n'
    )
    (folder / "thing.py").write_text("x = 1\n")
    git = ["git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q", folder], check=True)
    for words in (["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.slow
def test_a_git_commit_becomes_a_wheel_in_the_bundle(maker, tmp_path):
    (tmp_path / "thing").mkdir()
    commit = _repository(tmp_path / "thing")
    line = f"vendored-thing @ git+file://{tmp_path}/thing\n"
    source = maker.source("one", requirements_text=line)
    made = maker.build(source, maker.folder / "1.zip")
    (pin,) = [pin for pin in lock_of(made).pins if pin.name == "vendored-thing"]
    assert pin.origin.endswith(f"@{commit}")
    assert pin.version == "1.2"
    (wheel,) = made.manifest.having("wheel")
    assert (wheel.path, wheel.sha256) == ("wheels/vendored_thing-1.2-py2.py3-none-any.whl", pin.hashes[0])
    _relock(maker, source)
    (tmp_path / "thing").rename(tmp_path / "gone")
    assert maker.build(source, maker.folder / "2.zip").manifest.digest == made.manifest.digest


@pytest.mark.slow
def test_a_folder_becomes_a_wheel_too(maker):
    source = maker.source(requirements_text="./lib\n")
    (source / "lib").mkdir()
    _repository(source / "lib")
    made = maker.build(source)
    assert own(lock_of(made)) == {"vendored-thing": ("1.2", "")}
    _relock(maker, source)
    (source / "lib" / "thing.py").write_text("x = 2\n")
    with pytest.raises(DescriptorError, match=r"is not the one in requirements\.lock"):
        maker.build(source, force=True)


def test_a_direct_address(maker, index):
    name, data = make_wheel("ocr-direct", "3.0")
    index.files[name] = data
    source = maker.source(requirements_text=f"ocr-direct @ http://{index.host}/files/{name}\n")
    (pin,) = [pin for pin in lock_of(maker.build(source)).pins if pin.name == "ocr-direct"]
    assert pin.url == f"http://{index.host}/files/{name}"
    assert pin.version == "3.0"


def wheels_of(made):
    return {entry.path.removeprefix("wheels/") for entry in made.manifest.having("wheel")}


def test_wheels_for_the_machines_that_are_named(maker, index):
    text = f'--extra-index-url {index.url}\nocr-linux ; sys_platform != "win32"\nocr-gpu==1.0+cu128\n'
    source = maker.source(requirements_text=text)
    made = maker.build(source, platforms=("manylinux_2_28_x86_64", "macosx_14_0_arm64", "win_amd64"), pythons=("3.11",))
    assert wheels_of(made) >= {
        "ocr_linux-1.0-cp311-cp311-manylinux_2_17_x86_64.whl", "ocr_linux-1.0-cp311-cp311-macosx_11_0_arm64.whl",
        "ocr_gpu-1.0+cu128-py3-none-any.whl", "ocr_core-1.1-py3-none-any.whl",
    }  # fmt: skip
    with pytest.raises(DescriptorError, match=r"no wheel of ocr-linux 1\.0 for Python 3\.11 on manylinux_2_28_aarch64"):
        maker.build(source, force=True, platforms=("manylinux_2_28_aarch64",), pythons=("3.11",))
    with pytest.raises(DescriptorError, match=r"no wheel of ocr-linux 1\.0 for Python 3\.12") as caught:
        maker.build(source, force=True, platforms=("manylinux_2_28_x86_64",), pythons=("3.12",))
    assert "cp311" in caught.value.findings[0].got


def test_what_contradicts_itself_elsewhere_is_resolved_for_the_platforms(maker, index):
    text = f"--extra-index-url {index.url}\nocr-core>=2\nocr-core<2 ; sys_platform == 'win32'\n"
    source = maker.source(requirements_text=text)
    with pytest.raises(DescriptorError):
        maker.build(source)
    made = maker.build(source, platforms=("manylinux_2_28_x86_64", "macosx_14_0_arm64"), pythons=("3.11",))
    assert own(lock_of(made)) == {"ocr-core": ("2.0", "")}


def test_wheels_of_a_folder_on_this_machine(maker):
    """`--find-links` to a folder works for a build; the target finds them in the bundle."""
    source = maker.source(requirements_text="--find-links ./vendor\nocr-vendored==1.0\n")
    (source / "vendor").mkdir()
    name, data = make_wheel("ocr-vendored", "1.0")
    (source / "vendor" / name).write_bytes(data)
    made = maker.build(source)
    assert own(lock_of(made)) == {"ocr-vendored": ("1.0", "")}
    assert wheels_of(made) == {name}
    assert lock_of(made).options == ()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"platforms": ("linux",)}, "no platform"),
        ({"platforms": ("manylinux_2_28_x86_64",), "pythons": ("banana",)}, "no version of Python"),
        ({"wheels": True, "pythons": ("3.8",)}, "does not meet"),
    ],
)
def test_machines_that_are_none(maker, options, words):
    with pytest.raises(UsageError, match=words):
        maker.build(maker.source(), **options)


@pytest.mark.parametrize(
    "text",
    [
        b"flask\n", b"flask==3.1\n", b"flask>=3 --hash=sha256:" + b"0" * 64, b"flask==3 --hash=md5:0", b"\xff\xfe",
        b"@", b"flask==3 --hash=sha256:" + b"0" * 63, b"--trusted-host x\n", b"-e .\n", b"--index-url file:///etc\n",
        b"flask @ file:///etc/passwd --hash=sha256:" + b"0" * 64,
    ],
)  # fmt: skip
def test_what_is_no_lock(text):
    with pytest.raises(BundleError, match="is no lock"):
        parse_lock(text)


@given(st.binary(max_size=400) | st.text(max_size=400).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_lock_or_refused(data):
    try:
        lock = parse_lock(data)
    except BundleError:
        return
    assert parse_lock(lock.data).pins == lock.pins


def make_sdist(name, version):
    """Return a source archive's file name and bytes; it is built by hatchling."""
    files = {
        "pyproject.toml": f'[project]\nname = "{name}"\nversion = "{version}"\n'
        '[build-system]\nrequires = ["hatchling"]\n'
        'build-backend = "hatchling.build"\n[tool.hatch.build.targets.wheel]\ninclude = ["*.py"]\n',
        f"{name.replace('-', '_')}.py": "x = 1\n",
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
    }
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"{name.replace('-', '_')}-{version}/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return f"{name.replace('-', '_')}-{version}.tar.gz", target.getvalue()


def test_a_package_without_wheels_is_built_and_its_hash_is_in_the_lock(maker, index):
    index.files.update([make_sdist("ocr-source", "1.0")])
    made = maker.build(maker.source(requirements_text=f"--extra-index-url {index.url}\nocr-source\n"), wheels=True)
    (wheel,) = [entry for entry in made.manifest.having("wheel") if "ocr_source" in entry.path]
    lock = lock_of(made)
    (pin,) = [pin for pin in lock.pins if pin.name == "ocr-source"]
    assert wheel.sha256 in pin.hashes
    carried = {entry.path.removeprefix("wheels/"): entry.sha256 for entry in made.manifest.having("wheel")}
    assert this_machine("3.11.7").missing(lock, carried) == []


def test_a_source_archive_at_an_address(maker, index):
    name, data = make_sdist("ocr-source", "1.0")
    index.files[name] = data
    source = maker.source(requirements_text=f"ocr-source @ http://{index.host}/files/{name}\n")
    (pin,) = [pin for pin in lock_of(maker.build(source)).pins if pin.name == "ocr-source"]
    assert pin.version == "1.0"
    made = maker.build(source, force=True, wheels=True)
    assert any("ocr_source-1.0" in wheel for wheel in wheels_of(made))


@pytest.mark.parametrize("line", ["./vendor/{}", "ocr-vendored @ file://{folder}/vendor/{}"])
def test_a_wheel_in_the_source(maker, line):
    name, data = make_wheel("ocr-vendored", "1.0")
    source = maker.source(extra={f"vendor/{name}": data})
    (source / "requirements.txt").write_text(line.format(name, folder=source) + "\n")
    made = maker.build(source)
    (pin,) = [pin for pin in lock_of(made).pins if pin.name == "ocr-vendored"]
    assert pin.origin == f"./vendor/{name}", "no path of this machine"
    assert wheels_of(made) == {name}


def test_an_edited_lock_is_made_anew(maker, index):
    source = maker.source(requirements_text=f"--extra-index-url {index.url}\nocr-core<2\n")
    _relock(maker, source)
    text = (source / "requirements.lock").read_text()
    (source / "requirements.lock").write_text(text.partition("# licence: Apache-2.0\nocr-core")[0])
    assert "ocr-core" not in (source / "requirements.lock").read_text()
    assert own(lock_of(maker.build(source, force=True))) == {"ocr-core": ("1.1", "")}


def test_a_lock_for_all_serves_each_platform(maker, index):
    source = maker.source(requirements_text=f"--extra-index-url {index.url}\nocr-core<2\n")
    first = _relock(maker, source)
    made = maker.build(source, force=True, platforms=("manylinux_2_28_x86_64",), pythons=("3.11",))
    assert lock_of(made) == first


@pytest.mark.parametrize(
    "marker",
    ["os_name ~= 'x'", "python_version ~= 'x'", "'x' in extras", f"python_version >= '{'9' * 5000}'"],
)
def test_markers_that_cannot_be_compared(marker):
    with pytest.raises(BundleError):
        parse_lock(f"flask==3 ; {marker} --hash=sha256:{'0' * 64}\n".encode())
