"""The bundles that ship, on their real engines: deployed by ocrpack, and by hand as the SETUP.md says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from ocrpack.compare import error_rates
from tests.conftest import DATA, REPOSITORY
from tests.patience import PATIENCE
from tests.variants import slow

SOURCE = REPOSITORY / "bundles" / "tesseract"


@pytest.fixture
def bundle(machine):
    made = machine.run("build", SOURCE, "-o", machine.folder, "--json").json
    return machine.folder / "tesseract-1.0.0.zip" if made["bundle"] else None


def read(url, image):
    """Post an image as the page does, and return the answer."""
    request = urllib.request.Request(
        f"{url}/ocr", data=image.read_bytes(), headers={"Content-Type": "image/png"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.loads(answer.read())


@pytest.mark.parametrize("backend", ["tesserocr", *slow("pytesseract")])
def test_it_deploys_and_reads_real_images(machine, backend):
    source = machine.folder / "source"
    shutil.copytree(SOURCE, source)
    descriptor = json.loads((source / "descriptor.json").read_text())
    descriptor["app"]["options"]["backend"] = backend
    (source / "descriptor.json").write_text(json.dumps(descriptor))
    machine.run("build", source, "-o", machine.folder)
    answer = machine.deploy(machine.folder / "tesseract-1.0.0.zip", "--port", machine.port, "--json").json
    assert all(sample["cer"] <= 0.02 for sample in answer["samples"])
    assert len(answer["samples"]) == 3
    assert machine.get("/readyz")["backend"] == backend
    assert machine.run("verify", "tesseract", "--json").json["ok"] is True
    if DATA.exists():
        image = DATA / "small" / "testocr.png"
        got = read(answer["url"], image)["text"]
        assert error_rates((DATA / "small" / "testocr.png.txt").read_text("utf-8"), got)[0] < 0.05
    with urllib.request.urlopen(f"{answer['url']}/", timeout=PATIENCE) as page:
        assert "text/html" in page.headers["Content-Type"]
    machine.run("remove", "tesseract", "--yes")


@pytest.mark.slow
def test_the_bundle_that_needs_only_python(machine):
    """Its models come out of a wheel, and its app needs no package of the system, nor the network once it runs."""
    source = REPOSITORY / "bundles" / "rapidocr"
    machine.run("build", source, "-o", machine.folder)
    answer = machine.deploy(machine.folder / "rapidocr-1.0.0.zip", "--port", machine.port, "--json").json
    assert [sample["cer"] for sample in answer["samples"]] == [0, 0, 0]
    ready = machine.get("/readyz")
    assert (ready["engine"], ready["backend"]) == ("rapidocr", "onnxruntime")
    assert machine.run("verify", "rapidocr", "--json").json["ok"] is True
    if DATA.exists():
        image = DATA / "small" / "testocr.png"
        got = read(answer["url"], image)["text"]
        assert error_rates((DATA / "small" / "testocr.png.txt").read_text("utf-8"), got)[0] < 0.01
    machine.run("remove", "rapidocr", "--yes")


@pytest.mark.slow
def test_a_wrong_truth_is_shown_and_nothing_serves(machine):
    source = machine.folder / "source"
    shutil.copytree(SOURCE, source)
    (source / "samples" / "paragraph.txt").write_text("Nothing of this stands on the image.")
    machine.run("build", source, "-o", machine.folder)
    failed = machine.deploy(machine.folder / "tesseract-1.0.0.zip", "--port", machine.port, status=15)
    assert "Nothing of this stands on the image." in failed.err
    assert re.search(r"got: +\w+", failed.err)
    assert not machine.listening()


@pytest.mark.slow
def test_one_flipped_byte_is_refused(machine, bundle):
    data = bytearray(bundle.read_bytes())
    for position in (0, 40, len(data) // 2, len(data) - 3000, len(data) - 1):
        altered = bytearray(data)
        altered[position] ^= 0x10
        bundle.write_bytes(altered)
        assert machine.run("verify", bundle, "--json", status=11).json["ok"] is False
        machine.deploy(bundle, "--port", machine.port, status=11)
        assert not machine.listening()
    assert not list(machine.root.glob("apps/*/releases/*"))


def test_by_hand_with_no_ocrpack(machine, bundle, tmp_path):
    """The commands are those of the bundle's own SETUP.md, on Linux."""
    place = tmp_path / "by hand"
    place.mkdir()
    shutil.copy(bundle, place)
    with subprocess.Popen(["unzip", "-p", bundle, "SETUP.md"], stdout=subprocess.PIPE, text=True) as unzip:
        guide = unzip.stdout.read()
    steps = []
    for block in re.split(r"^###? ", guide, flags=re.MULTILINE):
        title, _, body = block.partition("\n")
        if title[:1].isdigit():
            body = body.partition("Windows")[0]
            steps += [line.strip() for line in body.splitlines() if line.startswith("    ")]
    assert steps[0].startswith("unzip ")
    start = steps.index("python app.py")
    script = "set -e\n" + "\n".join(['unzip() { command unzip -q "$@"; }', *steps[:start], "exec " + steps[start]])
    env = {name: value for name, value in machine.env.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    env["PATH"] = os.pathsep.join([str(Path(sys.executable).resolve().parent), env["PATH"]])
    process = subprocess.Popen(
        ["/bin/bash", "-c", script], cwd=place, env={**env, "PORT": str(machine.port)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        machine.wait(lambda: machine.listening() or process.poll() is not None)
        assert process.poll() is None, process.stdout.read()
        answer = read(f"http://127.0.0.1:{machine.port}", SOURCE / "samples" / "paragraph.png")
        truth = (SOURCE / "samples" / "paragraph.txt").read_text("utf-8")
        assert error_rates(truth, answer["text"])[0] <= 0.02
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


@pytest.mark.slow
def test_make_demo_in_a_fresh_clone_twice(machine, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
    env = {
        name: value for name, value in machine.env.items() if name not in {"PYTHONPATH", "OCRPACK_ROOT", "MAKEFLAGS"}
    }
    try:
        for _ in range(2):
            done = subprocess.run(["make", "demo"], cwd=clone, env=env, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, done.stdout + done.stderr
            (url,) = set(re.findall(r"running +(http://\S+)", done.stdout))
            answer = read(url, SOURCE / "samples" / "paragraph.png")
            assert error_rates((SOURCE / "samples" / "paragraph.txt").read_text("utf-8"), answer["text"])[0] <= 0.02
        tags = subprocess.run(
            ["git", "tag", "-n99", "-l"], cwd=clone, capture_output=True, text=True, check=True
        ).stdout
        assert tags.startswith("tesseract/v1.0.0")
        assert "Bundle: sha256:" in tags
    finally:
        subprocess.run(["make", "demo-stop"], cwd=clone, env=env, check=True, capture_output=True)
    assert subprocess.run(["git", "tag"], cwd=clone, capture_output=True, text=True, check=True).stdout == ""


@pytest.mark.slow
def test_make_demo_where_tesseract_cannot_be_had(machine, tmp_path):
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, clone], check=True)
    path = clone / "bundles" / "tesseract" / "descriptor.json"
    path.write_text(re.sub(r'"[^"]*/eng.traineddata",', "", path.read_text()).replace("/opt/homebrew", "/nowhere"))
    env = {
        name: value for name, value in machine.env.items() if name not in {"PYTHONPATH", "OCRPACK_ROOT", "MAKEFLAGS"}
    }
    try:
        done = subprocess.run(["make", "demo"], cwd=clone, env=env, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "reads with PP-OCR" in done.stdout
        (url,) = set(re.findall(r"running +(http://\S+)", done.stdout))
        image = REPOSITORY / "bundles" / "rapidocr" / "samples" / "languages.png"
        assert error_rates(image.with_suffix(".txt").read_text("utf-8"), read(url, image)["text"])[0] <= 0.02
    finally:
        subprocess.run(["make", "demo-stop"], cwd=clone, env=env, check=True, capture_output=True)
    assert not (clone / ".demo" / "apps" / "rapidocr").exists()


@pytest.mark.parametrize("lacking", [("tesseract", "apt-get"), ("git", "apt-get")])
def test_only_what_is_vital_stops_the_set_up(tmp_path, lacking):
    for name in ("bash", "env", "git", "id", "unzip", "openssl", "ssh-keygen", "ssh-agent", "tesseract", "grep"):
        if name not in lacking and (found := shutil.which(name)):
            (tmp_path / name).symlink_to(found)
    done = subprocess.run(
        [REPOSITORY / "tools" / "install_system.sh"], capture_output=True, text=True,
        env={"PATH": str(tmp_path), "PYTHON": sys.executable},
    )  # fmt: skip
    assert done.returncode == ("git" in lacking), done.stderr
    assert f"install these yourself (names in Debian): {'git' if 'git' in lacking else 'tesseract-ocr'}" in done.stderr
