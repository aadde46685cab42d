"""Tags in real git repositories, of every kind that a deployer may have."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess

import pytest

from ocrpack.bundle import Archive
from tests.variants import slow

TAG = "mini/v1.0"


@pytest.fixture
def git(machine):
    def run(folder, *words, check=True):
        config = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-c", "init.defaultBranch=main"]
        done = subprocess.run(
            ["git", *config, "-C", folder, *words], env=machine.env, capture_output=True, text=True, check=check
        )
        return done.stdout.strip()

    return run


@pytest.fixture
def repository(machine, git):
    """Make a repository with one commit."""

    def make(name="repo", *, bare=False):
        folder = machine.folder / name
        work = machine.folder / f"{name}-work" if bare else folder
        work.mkdir()
        git(work, "init", "-q")
        (work / "file.txt").write_text("content")
        git(work, "add", ".")
        git(work, "commit", "-qm", "first")
        if bare:
            git(machine.folder, "clone", "-q", "--bare", work, folder)
        return folder

    return make


def _deploy(machine, bundle, *words, status=0, env=None, cwd=None):
    done = machine.run("deploy", bundle, "--json", *words, status=status, env=env, cwd=cwd)
    return done.json


def _digest(bundle):
    with Archive(bundle) as archive:
        return archive.manifest.digest


def test_the_repository_around_the_bundle(machine, git, repository):
    repo = repository()
    (repo / "file.txt").write_text("dirty")
    (repo / "deep").mkdir()
    bundle = machine.bundle().rename(repo / "deep" / "mini.zip")
    before = git(repo, "status", "--porcelain"), git(repo, "rev-parse", "HEAD")
    answer = _deploy(machine, bundle)
    assert answer["tag"] == TAG
    assert git(repo, "cat-file", "-t", TAG) == "tag"
    assert git(repo, "rev-parse", f"{TAG}^{{commit}}") == git(repo, "rev-parse", "HEAD")
    assert (git(repo, "status", "--porcelain"), git(repo, "rev-parse", "HEAD")) == before
    message = git(repo, "tag", "-l", "--format=%(contents)", TAG)
    assert message.splitlines()[0] == "mini 1.0"
    assert f"Bundle: sha256:{_digest(bundle)}" in message
    assert f"Host: {socket.gethostname()}" in message
    assert re.search(r"^Deployed: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$", message, re.MULTILINE)
    assert re.search(r"^Sample: samples/a\.txt CER 0\.0000, \d+\.\d\d s$", message, re.MULTILINE)
    assert git(repo, "tag", "-l", "--format=%(taggername) %(taggeremail)", TAG).startswith("ocrpack <ocrpack@")

    first = git(repo, "rev-parse", TAG)
    assert _deploy(machine, bundle)["tag"] == TAG
    assert git(repo, "rev-parse", TAG) == first, "the same again is a no-op"

    machine.run("remove", "mini", "--yes")
    other = machine.bundle(text="OTHER").rename(repo / "other.zip")
    error = _deploy(machine, other, status=17)["error"]
    assert TAG in error["message"]
    assert _digest(bundle)[:12] in error["message"]
    assert _digest(other)[:12] in error["message"]
    assert "--no-tag" in error["remedy"]
    assert not machine.app_folder().exists(), "found before anything is touched"


@pytest.mark.parametrize("kind", ["lightweight", "foreign"])
def test_a_tag_that_someone_else_made(machine, git, repository, kind):
    repo = repository()
    git(repo, "tag", TAG, *([] if kind == "lightweight" else ["-m", "release notes"]))
    error = _deploy(machine, machine.bundle(), "--tag-repo", repo, status=17)["error"]
    assert "something that ocrpack did not deploy" in error["message"]
    assert not machine.root.exists()
    git(repo, "pack-refs", "--all")
    assert _deploy(machine, machine.bundle(), "--tag-repo", repo, "--dry-run", status=17)["error"]["code"] == "conflict"


@pytest.mark.parametrize(
    "kind",
    [
        "bare",
        "worktree",
        *slow("detached", "gpgsign", "identity", "hook"),
    ],
)
def test_repositories_of_all_kinds(machine, git, repository, kind):
    repo = repository(bare=kind == "bare")
    env = {}
    place = repo
    if kind == "detached":
        git(repo, "checkout", "-q", "--detach")
    elif kind == "worktree":
        place = machine.folder / "linked tree"
        git(repo, "worktree", "add", "-q", "-b", "side", place)
    elif kind == "gpgsign":
        for key in ("tag.gpgSign", "commit.gpgSign", "tag.forceSignAnnotated"):
            git(repo, "config", key, "true")
        git(repo, "config", "gpg.program", "/bin/false")
    elif kind == "identity":
        git(repo, "config", "user.name", "Ada")
        git(repo, "config", "user.email", "ada@example.org")
    elif kind == "hook":
        other = repository("other")
        env = {"GIT_DIR": str(other / ".git")}
    answer = _deploy(machine, machine.bundle(), "--tag-repo", place, env=env)
    assert answer["tag"] == TAG, answer["warnings"]
    assert git(repo, "cat-file", "-t", TAG) == "tag"
    assert f"Bundle: sha256:{answer['digest']}" in git(repo, "cat-file", "tag", TAG)
    if kind == "identity":
        assert git(repo, "tag", "-l", "--format=%(taggername)", TAG) == "Ada"
    if kind == "hook":
        assert git(other, "tag") == ""
    again = _deploy(machine, machine.bundle(), "--tag-repo", place, "--dry-run", env=env)
    assert again["digest"] == answer["digest"], "its own tag is no conflict"
    assert git(repo, "tag") == TAG


@pytest.mark.slow
def test_an_empty_repository(machine, git):
    empty = machine.folder / "empty"
    empty.mkdir()
    git(empty, "init", "-q")
    bundle = machine.bundle()
    error = _deploy(machine, bundle, "--tag-repo", empty, status=12)["error"]
    assert "no commit" in error["message"]
    assert "commit something" in error["remedy"]
    assert not machine.root.exists()
    inside = bundle.rename(empty / "mini.zip")
    assert _deploy(machine, inside, env={"GIT_DIR": str(empty / ".git")})["tag"] == TAG
    assert git(empty, "tag") == ""
    ledger = machine.root / "ledger"
    assert git(ledger, "cat-file", "-t", TAG) == "tag"
    assert git(ledger, "rev-list", "--count", "HEAD") == "1"


def test_no_repository_at_all(machine, git):
    folder = machine.folder / "plain"
    folder.mkdir()
    bundle = machine.bundle()
    error = _deploy(machine, bundle, "--tag-repo", folder, status=12)["error"]
    assert "is not in a git repository" in error["message"]
    assert "git init" in error["remedy"]
    assert _deploy(machine, bundle, "--tag-repo", machine.folder / "none", status=12)["error"]["code"] == "preflight"
    for version in ("1.0", "2.0"):
        assert _deploy(machine, machine.bundle(version=version))["tag"] == f"mini/v{version}"
    ledger = machine.root / "ledger"
    assert git(ledger, "tag").splitlines() == ["mini/v1.0", "mini/v2.0"]
    assert git(ledger, "rev-parse", "--is-bare-repository") == "true"


@pytest.mark.slow
def test_the_repository_around_the_working_folder(machine, git, repository):
    repo = repository()
    assert _deploy(machine, machine.bundle(), cwd=repo)["tag"] == TAG
    assert git(repo, "tag") == TAG


def test_no_tag_tags_nothing(machine, git, repository):
    repo = repository()
    assert _deploy(machine, machine.bundle(), "--no-tag", cwd=repo)["tag"] is None
    assert git(repo, "tag") == ""
    assert not (machine.root / "ledger").exists()


def test_git_is_missing(machine):
    programs = machine.folder / "bin"
    programs.mkdir()
    for name in ("sh", "env", "uname"):
        (programs / name).symlink_to(shutil.which(name))
    env = {"PATH": str(programs)}
    bundle = machine.bundle()
    error = _deploy(machine, bundle, status=12, env=env)["error"]
    assert error["message"] == "git is not installed"
    assert "--no-tag" in error["remedy"]
    assert not machine.root.exists()
    assert _deploy(machine, bundle, "--no-tag", env=env)["tag"] is None


def test_a_repository_that_takes_no_tag_is_a_warning(machine, git, repository):
    """The service is proven and serves: a tag that fails does not undo it."""
    repo = repository()
    git(repo, "tag", "mini")  # mini/v1.0 can no longer be
    answer = _deploy(machine, machine.bundle(), "--tag-repo", repo)
    assert answer["tag"] is None
    assert any("git could not tag" in json.dumps(warning) for warning in answer["warnings"])
    assert machine.get()["version"] == "1.0"


@pytest.mark.slow
def test_a_repository_of_another_user(machine, git, repository):
    """git refuses to work in it: said before anything is touched, not a traceback."""
    repo = repository()
    git(repo, "tag", TAG, "-m", "x")
    try:
        for path in (repo, *repo.rglob("*")):
            shutil.chown(path, 1234, 1234)
    except PermissionError:
        pytest.skip("may not give files away")
    found = machine.run("deploy", machine.bundle(), "--json", "--tag-repo", repo, status=12).json
    assert "dubious ownership" in found["error"]["message"]
    assert "--no-tag" in found["error"]["remedy"]
    assert not machine.root.exists()
    assert _deploy(machine, machine.bundle(), cwd=repo)["tag"] == TAG
    assert git(machine.root / "ledger", "tag") == TAG, "nobody asked for the other one"
