"""Mark deployed versions in git: one annotated tag `NAME/vVERSION` with what was proven."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocrpack.errors import ConflictError, OcrpackError, PreflightError
from ocrpack.logs import timestamp

if TYPE_CHECKING:
    from git import GitCommandError, Repo

    from ocrpack.deploy.proof.samples import SampleResult

_BUNDLE_LINE = re.compile(r"^Bundle: sha256:([0-9a-f]{64})$", re.MULTILINE)
_NO_TAG = "or pass --tag-repo DIR for another repository, or --no-tag"


@dataclass(frozen=True)
class Ledger:
    """A repository that takes tags; `own` tells that it is the one below ocrpack's root."""

    path: Path
    own: bool


def choose_repository(tag_repo: Path | None, bundle: Path, own: Path) -> Ledger:
    """Return the repository for the tag: the given one, else one around the bundle or the working folder, else `own`.

    A repository without a commit has nothing to tag, and one that git refuses to read cannot be tagged: they are
    passed over, and refused when they were given.

    Raises:
        PreflightError: git is missing, or the given folder is no repository that can be tagged.
    """
    if tag_repo is not None:
        repository = _open(tag_repo)
        if repository is None:
            raise PreflightError(f"{tag_repo} is not in a git repository", f"`git init` it, {_NO_TAG}")
        if not _has_commit(repository):
            raise PreflightError(f"the repository {tag_repo} has no commit to tag", f"commit something, {_NO_TAG}")
        return Ledger(Path(repository.git_dir), own=False)
    for folder in (bundle.resolve().parent, Path.cwd()):
        repository = _open(folder)
        with contextlib.suppress(PreflightError):  # nobody asked for this repository
            if repository is not None and _has_commit(repository):
                return Ledger(Path(repository.git_dir), own=False)
    return Ledger(own, own=True)


def _open(folder: Path) -> Repo | None:
    try:
        import git
    except ImportError as error:
        raise PreflightError("git is not installed", "install git, or pass --no-tag") from error
    try:
        repository = git.Repo(folder, search_parent_directories=True)
        if "GIT_DIR" in os.environ:  # a git hook: it names the repository that the hook belongs to
            repository.git.update_environment(GIT_DIR=str(repository.git_dir))
        return repository
    except (git.InvalidGitRepositoryError, git.NoSuchPathError):
        return None


def _has_commit(repository: Repo) -> bool:
    import git

    try:
        repository.git.rev_parse("HEAD", verify=True, quiet=True)
    except git.GitCommandError as error:
        if error.status == 1:
            return False
        raise _unreadable(repository, error) from error
    return True


def _unreadable(repository: Repo, error: GitCommandError) -> PreflightError:
    words = str(error.stderr or error).strip()
    return PreflightError(f"git cannot read {repository.git_dir}: {words}", f"mend it, {_NO_TAG}")


def is_tagged(ledger: Ledger, name: str, version: str, digest: str) -> bool:
    """Tell whether the tag of this very bundle is there already.

    Raises:
        ConflictError: a tag of that name marks another bundle.
        PreflightError: git refuses to read the tag.
    """
    repository = _open(ledger.path) if ledger.path.exists() else None
    tag = tag_name(name, version)
    if repository is None or tag not in {str(known) for known in repository.tags}:
        return False
    found = _BUNDLE_LINE.search(_message(repository, tag))
    if found and found[1] == digest:
        return True
    other = f"bundle {found[1][:12]}" if found else "something that ocrpack did not deploy"
    raise ConflictError(
        f"the tag {tag} in {ledger.path} marks {other}, and this is bundle {digest[:12]}",
        f"raise `version` in the descriptor and build again, {_NO_TAG}",
    )


def _message(repository: Repo, tag: str) -> str:
    import git

    try:
        return str(repository.git.for_each_ref(f"refs/tags/{tag}", format="%(contents)"))
    except git.GitCommandError as error:
        raise _unreadable(repository, error) from error


def tag_name(name: str, version: str) -> str:
    """Return the tag of a version; `+` and `!`, which PEP 440 allows, are fine in git, so it stays as it is."""
    return f"{name}/v{version}"


def tag_version(ledger: Ledger, name: str, version: str, *, digest: str, samples: tuple[SampleResult, ...]) -> str:
    """Tag the version and return the tag; the same tag again changes nothing.

    Raises:
        ConflictError: a tag of that name marks another bundle.
        OcrpackError: git failed; its words are in the message.
    """
    import git

    tag = tag_name(name, version)
    if is_tagged(ledger, name, version, digest):
        return tag
    lines = [
        f"{name} {version}",
        "",
        f"Bundle: sha256:{digest}",
        f"Host: {socket.gethostname()}",
        f"Deployed: {timestamp()}",
        *(f"Sample: {sample.image} CER {sample.cer:.4f}, {sample.seconds:.2f} s" for sample in samples),
    ]
    try:
        repository = _open(ledger.path) if ledger.path.exists() else None
        if repository is None:
            git.Repo.init(ledger.path, mkdir=True, bare=True, env={"GIT_DIR": str(ledger.path)})
            repository = _open(ledger.path)
            assert repository is not None
        with repository.git.custom_environment(**_identity(repository)):
            target = "HEAD" if _has_commit(repository) else _first_commit(repository)
            repository.git.tag(tag, target, annotate=True, no_sign=True, cleanup="verbatim", message="\n".join(lines))
    except git.GitCommandError as error:
        words = str(error.stderr or error).strip()
        raise OcrpackError(f"git could not tag {tag}: {words}", f"tag it by hand in {ledger.path}") from error
    return tag


def _first_commit(repository: Repo) -> str:
    """Make an empty commit for the tags of a repository that has none, and return it."""
    tree = repository.git.hash_object("-w", "-t", "tree", os.devnull)
    commit = str(repository.git.commit_tree(tree, m="Deployments by ocrpack"))
    repository.git.update_ref("HEAD", commit)
    return commit


def _identity(repository: Repo) -> dict[str, str]:
    """Return the variables that name who tags, where git has nobody configured."""
    reader = repository.config_reader()
    if reader.get_value("user", "name", "") and reader.get_value("user", "email", ""):
        return {}
    values = {"NAME": "ocrpack", "EMAIL": f"ocrpack@{socket.gethostname()}"}
    roles = ("AUTHOR", "COMMITTER")
    return {
        f"GIT_{role}_{key}": os.environ.get(f"GIT_{role}_{key}", value)
        for role in roles
        for key, value in values.items()
    }
