"""The commands. `main` starts fast: nothing heavy is imported before the command that needs it."""

import sys


def main() -> None:
    """Run the command line and exit with its documented status."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from ocrpack import __version__

        sys.stdout.write(f"ocrpack {__version__}\n")
        return
    from ocrpack.cli.main import run

    sys.exit(run(sys.argv[1:]))
