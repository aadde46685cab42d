"""Remove what nothing needs any more: releases, failures, weights and environments."""

from __future__ import annotations

import contextlib

from ocrpack.deploy.steps.recover import forget_records, running_releases
from ocrpack.deploy.store import blobs, environments, releases
from ocrpack.deploy.store.layout import Deployment, Root
from ocrpack.errors import PreflightError


def prune_deployment(root: Root, deployment: Deployment, keep: int, *, dry_run: bool = False) -> list[str]:
    """Remove old releases and failures, then environments that nothing uses, and return their names.

    Never current, the last known good one, or a release with live processes. With `dry_run` nothing is removed.
    """
    state = deployment.load_state()
    spare = {name for name in (deployment.current, state.last_good, *running_releases(deployment)) if name is not None}
    removed = releases.remove_old(root, deployment, keep, spare, dry_run=dry_run)
    if dry_run:
        return removed
    forget_records(deployment)
    return removed + prune_environments(root)


def prune_environments(root: Root) -> list[str]:
    """Remove the environments that no release of any deployment needs.

    Raises:
        PreflightError: the state of a deployment is damaged, so that its needs are unknown; nothing is removed.
    """
    states = [root.deployment(name).load_state() for name in root.names()]
    return environments.remove_unused(
        root, {record.environment for state in states for record in state.releases.values()}
    )


def prune_shared(root: Root) -> None:
    """Remove weights and environments that nothing uses, as far as that can be told."""
    blobs.remove_unused(root)
    with contextlib.suppress(PreflightError):  # another deployment's state is damaged: its environment must stay
        prune_environments(root)
