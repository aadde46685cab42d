"""One command at a time on a deployment: a lock that the kernel frees, with the name of its holder."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ocrpack.deploy.store.layout import Deployment
from ocrpack.deploy.system.processes import Identity, identify
from ocrpack.errors import LockedError, NotFoundError
from ocrpack.logs import timestamp

DEPLOY_ID = "OCRPACK_DEPLOY_ID"
"""The variable that tells a hook, and what it starts, which deploy it belongs to."""


@contextlib.contextmanager
def hold(deployment: Deployment, what: str, wait_s: float = 0, deploy: str = "") -> Iterator[None]:
    """Hold the deployment's lock; the kernel frees it when the process ends, however it ends.

    Raises:
        LockedError: another command holds it and does not let go within `wait_s` seconds, or it is held by the deploy
            whose hook this is, which would wait for ever.
        NotFoundError: the deployment was removed meanwhile.
    """
    import fcntl

    file = deployment.folder / "lock"
    deadline = time.monotonic() + wait_s
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = _read_holder(handle)
                _refuse_hook(deployment, holder)
                if time.monotonic() >= deadline:
                    raise LockedError(
                        f"{deployment.name} is locked by {_describe(holder)}",
                        "wait for it, or pass --lock-wait SECONDS",
                    ) from None
                time.sleep(0.05)
        # `remove` deletes the file while others wait for it: what they hold then locks nothing.
        if not file.exists() or file.stat().st_ino != os.fstat(handle).st_ino:
            raise NotFoundError(f"{deployment.name} was removed meanwhile", "deploy it again")
        me = identify(os.getpid())
        known = {"what": what, "since": timestamp(), "deploy": deploy, **(asdict(me) if me else {})}
        os.ftruncate(handle, 0)
        with contextlib.suppress(OSError):  # a full disk must not keep anyone from stopping a service
            os.pwrite(handle, json.dumps(known).encode(), 0)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)  # `was_left` takes a name that is still there for a killed holder
    finally:
        os.close(handle)


def was_left(deployment: Deployment) -> bool:
    """Whether the last holder was killed: it could not take its name away."""
    try:
        holder = json.loads((deployment.folder / "lock").read_bytes() or b"{}")
        identity = Identity(holder["pid"], holder["started"], holder["boot"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return not identity.alive


def _read_holder(handle: int) -> dict[str, Any]:
    try:
        known = json.loads(os.pread(handle, 4096, 0))
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _refuse_hook(deployment: Deployment, holder: dict[str, Any]) -> None:
    if holder.get("deploy") and os.environ.get(DEPLOY_ID) == holder["deploy"]:
        raise LockedError(
            f"{deployment.name} is locked by {_describe(holder)}, whose hook this command runs in",
            "a hook may read (status, logs, verify), but not change the deployment that it belongs to",
        )


def _describe(holder: dict[str, Any]) -> str:
    if not {"what", "pid", "since"} <= set(holder):
        return "another command"
    return f"`{holder['what']}`, pid {holder['pid']}, since {holder['since']}"
