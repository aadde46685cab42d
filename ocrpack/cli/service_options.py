"""How `ocr` and `eval` find the running service that they speak with."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ocrpack.cli.common import find_root
from ocrpack.cli.tally import Tally
from ocrpack.errors import BootError, NotFoundError, UsageError

if TYPE_CHECKING:
    from ocrpack.client import Service

Url = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The service's address.", show_default="OCRPACK_URL")
]
Deployed = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="A deployment here; not needed where there is one.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help="Holds the service's token.", show_default="OCRPACK_TOKEN"),
]
CaFile = Annotated[
    Path | None, typer.Option("--ca-file", metavar="FILE", help="Certificates (PEM) to trust instead of the system's.")
]
Jobs = Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="How many inputs to send at once.")]
RetrySeconds = Annotated[
    float, typer.Option("--retry-seconds", min=0, metavar="SECONDS", help="How long to try again what may pass.")
]
Timeout = Annotated[float, typer.Option("--timeout", min=1, metavar="SECONDS", help="How long an answer may take.")]
Languages = Annotated[str, typer.Option("--languages", "-l", metavar="eng,deu", help="What may stand on the images.")]
Preprocess = Annotated[
    Literal["auto", "best", "none"] | None,
    typer.Option("--preprocess", help="How images are made easier to read.", show_default="the service's"),
]


def connect(
    *,
    url: str | None,
    name: str | None,
    root: Path | None,
    token_file: Path | None,
    ca_file: Path | None,
    retry_seconds: float,
    timeout: float,
    jobs: int,
    tally: Tally,
) -> Service:
    """Return the service that the options mean.

    Raises:
        NotFoundError: there is no such deployment.
        BootError: it does not run.
    """
    from ocrpack.client import Address, Connection, Patience, Service

    if url and name:
        raise UsageError("--url and --name exclude each other", "leave one of them out")
    url = url or (None if name else os.environ.get("OCRPACK_URL")) or _deployed(name, root)
    address = Address.of(url, token=_token(token_file), ca_file=ca_file, timeout=timeout)
    if address.token and address.is_open:
        tally.waits(f"the token goes to {address.url} for everyone on the way to see: it has no https")
    return Service(Connection(address, Patience(retry_seconds), jobs, tally.waits))


def _deployed(name: str | None, root: Path | None) -> str:
    """Return the address of a deployment on this machine."""
    if sys.platform == "win32":
        raise UsageError("no service is named", "pass --url URL")
    from ocrpack.deploy.steps import recover
    from ocrpack.deploy.supervisor import status

    place = find_root(root)
    try:
        deployment = place.find(name)
    except NotFoundError as error:
        raise NotFoundError(error.message, f"pass --url URL for a service elsewhere; {error.remedy}") from None
    if status.needs_mending(deployment):
        recover.mend(place, deployment)
    found = status.status(deployment)
    if found.url is None or found.state in {"stopped", "failed", "empty", "damaged"}:
        raise BootError(f"{found.name} is {found.state}", f"`ocrpack start {found.name}`, or pass --url URL")
    return found.url


def _token(file: Path | None) -> str | None:
    where = str(file) if file is not None else "OCRPACK_TOKEN"
    try:
        token = file.read_text("utf-8-sig") if file is not None else os.environ.get("OCRPACK_TOKEN")
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}", "check the path and its permissions") from None
    except UnicodeDecodeError:
        token = "\0"
    if token is None:
        return None
    token = token.strip()
    if not token.isascii() or not token.isprintable() or not token:
        raise UsageError(f"{where} holds no token", "a token is one line of letters, digits and signs")
    return token
