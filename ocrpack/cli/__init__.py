"""The commands. `main` starts fast: nothing heavy is imported before the command that needs it."""

import os
import sys


def main() -> None:
    """Run the command line and exit with its documented status."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # the caller closed it: no file that is opened later may take its place
            null = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(null, mode, encoding="utf-8", errors="replace"))
    if sys.argv[1:] in (["--version"], ["-V"]):
        from ocrpack import __version__

        sys.stdout.write(f"ocrpack {__version__}\n")
        return
    from ocrpack.cli.main import run

    sys.exit(run(sys.argv[1:]))
