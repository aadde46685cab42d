"""Put the commands together, and turn every way that a command can end into a message and an exit status."""

from __future__ import annotations

import contextlib
import os
import platform
import signal
import sys
import tempfile
import traceback
from typing import Annotated, cast

import typer

from ocrpack import __version__
from ocrpack.cli import console
from ocrpack.cli.registry import Commands
from ocrpack.errors import InterruptedByUserError, OcrpackError, PreflightError, UsageError, io_remedy

_CommandLineError = cast("type[Exception]", typer.BadParameter.__mro__[2])
"""The base of all errors that the option parser raises."""

app = typer.Typer(
    name="ocrpack",
    cls=Commands,
    help="Turn an OCR application into one versioned bundle, and a bundle into a running, proven service.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Packager: init, validate, lock, build, inspect, diff. "
    "Deployer: doctor, deploy, verify, status, logs, rollback, service. "
    "Reader: ocr, eval. "
    "Exit codes: 0 done, 1 unexpected fault, 2 usage, 10 descriptor, 11 bundle, 12 preflight, 13 environment, 14 boot, "
    "15 smoke, 16 locked, 17 conflict, 18 verify, 19 not found, 130 interrupted.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ocrpack {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Turn an OCR application into one versioned bundle, and a bundle into a running, proven service."""


def run(arguments: list[str]) -> int:
    """Run one command and return its exit status; whatever goes wrong is said on stderr, or as JSON on stdout."""
    as_json = "--json" in arguments
    with contextlib.suppress(ValueError):  # not in the main thread: a test
        for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
            signal.signal(number, signal.default_int_handler)
    try:
        status = typer.main.get_command(app)(arguments, prog_name="ocrpack", standalone_mode=False)
        sys.stdout.flush()
        if status == InterruptedByUserError.exit_code:  # Typer turns the interrupt into this answer
            raise KeyboardInterrupt
        return status if isinstance(status, int) else 0
    except OcrpackError as error:
        return console.fail(error, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        return console.fail(
            InterruptedByUserError("interrupted", "`ocrpack status` shows where it stands; run the command again"),
            as_json=as_json,
        )
    except (BrokenPipeError, console.ReaderGoneError):
        _let_go_of_stdout()
        return 0
    except _CommandLineError as error:
        return _usage(error, as_json=as_json)
    except Exception as error:
        try:
            sys.stdout.flush()
        except OSError:
            _let_go_of_stdout()
            as_json = False
        return console.fail(_of_the_machine(error) or _unexpected(error, arguments), as_json=as_json)


def _let_go_of_stdout() -> None:
    """Drop what cannot be written, so that the interpreter does not try again as it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _usage(error: BaseException, *, as_json: bool) -> int:
    if not getattr(error, "message", "") and not str(error):
        return UsageError.exit_code  # no arguments: the help was shown
    command = getattr(getattr(error, "ctx", None), "command_path", "ocrpack")
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return console.fail(UsageError(message, f"`{command} --help` shows what there is"), as_json=as_json)


def _of_the_machine(error: Exception) -> OcrpackError | None:
    """Return the error that says what the file system or the user's account refuses, or None for a defect."""
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        return PreflightError(
            f"{error.filename}: {reason}" if error.filename else reason,
            io_remedy(error),
        )
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # of Path.home() and Path.expanduser()
        return PreflightError("cannot tell the home folder of the user", "set HOME, or write the path out without `~`")
    return None


def _unexpected(error: Exception, arguments: list[str]) -> OcrpackError:
    details = (
        f"ocrpack {__version__}, Python {platform.python_version()}, {platform.platform()}\n"
        f"arguments: {arguments!r}\n{''.join(traceback.format_exception(error))}"
    )
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="ocrpack-", suffix=".log", delete=False, encoding="utf-8", errors="replace"
        ) as log:
            log.write(details)
        place = log.name
    except OSError:
        place = f"this:\n{details}"
    text = f"unexpected fault: {type(error).__name__}: {error}"
    return OcrpackError(text, f"this is a defect of ocrpack; please report it with {place}")
