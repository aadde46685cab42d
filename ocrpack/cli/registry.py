"""All commands in the order of `ocrpack --help`; the module of a command is imported when the command is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

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
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        app.command(name)(found)
        found = app
    return typer.main.get_command(found)
