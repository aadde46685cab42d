"""All commands in the order of `ocrpack --help`; the module of a command is imported when the command is asked for."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperGroup

PACKAGER = ("init", "validate", "lock", "build", "inspect", "diff", "push", "pull")
DEPLOYER = (
    *("doctor", "deploy", "rollback", "verify", "status", "list", "logs"),
    *("stop", "start", "restart", "prune", "remove", "service"),
)
READER = ("ocr", "eval")
COMMANDS = (*PACKAGER, *DEPLOYER, *READER)


class Commands(TyperGroup):
    """The group of all commands, each of which is the module of its name in `ocrpack.cli.commands`."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            for name in COMMANDS:  # Typer suggests similar names among the commands that are loaded
                self.get_command(ctx, name)
            return None
        if cmd_name not in self.commands:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands[cmd_name]


def _load(name: str) -> Any:
    """Import a command: its function, or a Typer app if it has commands of its own."""
    found = import_module(f"ocrpack.cli.commands.{name}").command
    if isinstance(found, typer.Typer):
        return typer.main.get_command(found)
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command(name)(found)
    command = typer.main.get_command(app)
    for parameter in command.params:
        _convert_plain_values(parameter, get_type_hints(found).get(parameter.name or ""))
    return command


def _convert_plain_values(parameter: Any, hint: Any) -> None:
    """Let an option take texts, paths and defaults as they are.

    Typer has pydantic convert every value, even a text into a text, and the import alone takes 0.1 s. What is not
    plain still goes that way.
    """
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not type(None)]
    if get_origin(hint) is Literal or len(kinds) != 1 or parameter.multiple or parameter.nargs != 1:
        kind, choices = None, get_args(hint) if get_origin(hint) is Literal else ()
    else:
        kind, choices = kinds[0], ()
    convert = parameter.process_value

    def process_value(ctx: Any, value: Any) -> Any:
        absent = value is None and not parameter.required and (kind is not None or choices)
        if absent or (isinstance(value, str) and value in choices):
            return value
        if kind is Path and isinstance(value, str) and value.isascii():
            return Path(value)
        if kind is not None and type(value) is kind and (kind is not str or value.isascii()):
            return value
        return convert(ctx, value)

    parameter.process_value = process_value
