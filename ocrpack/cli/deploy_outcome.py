"""Show how a deploy or a rollback goes on, and what came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ocrpack.cli import console

if TYPE_CHECKING:
    from ocrpack.deploy.operations.changeover import Callbacks, Deployed
    from ocrpack.deploy.proof.prove import Comparison


@contextlib.contextmanager
def deploy_listener(quiet: bool) -> Iterator[Callbacks]:
    """Yield what shows how a deploy goes on, while the block runs."""
    from ocrpack.deploy.operations.changeover import Callbacks

    with console.Progress(quiet=quiet).shown() as progress:
        yield Callbacks(progress.event, progress.total, progress.advance)


def show_deployed(deployed: Deployed, as_json: bool, quiet: bool) -> None:
    """Show what serves now, and how it was proven."""
    if as_json:
        console.print_json(deployed.as_dict())
        return
    console.findings(deployed.warnings)
    console.result(f"{deployed.name} {deployed.version} serves on {deployed.url}")
    count = console.counted(len(deployed.proof.samples), "sample")
    worst = max((sample.cer or 0 for sample in deployed.proof.samples), default=None)
    proof = "no samples" if worst is None else f"{count}, worst CER {worst:.4f}"
    seconds = sum(seconds for _, seconds in deployed.phases)
    console.say(f"  proven  {proof}; {seconds:.1f} s in all", quiet=quiet)
    for one in deployed.proof.comparison:
        console.say(f"  before  {_compared(one)}", quiet=quiet)
    console.say(f"  tag     {deployed.tag or 'none'}", quiet=quiet)
    if deployed.signer:
        console.say(f"  signed  by {deployed.signer}", quiet=quiet)
    console.say(f"  logs    ocrpack logs {deployed.name}", quiet=quiet)


def _compared(one: Comparison) -> str:
    before = one.problem_before or f"CER {one.cer_before:.4f}"
    now = f"now CER {one.cer:.4f} in {one.seconds:.2f} s"
    text = "the same text" if one.same_text else "another text"
    return f"{one.image}: {before} in {one.seconds_before:.2f} s, {now}, {text}"
