"""What the packed modules import from the source folder, and whether that is packed too."""

from __future__ import annotations

import ast
import sys
import warnings
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet

from ocrpack.errors import Finding, Where

LIMIT = 1024 * 1024
_GUARDS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


@dataclass(frozen=True)
class Import:
    """One module that a file imports; `certain` where the file cannot do without it."""

    module: str
    line: int
    column: int
    certain: bool


def findings(folder: Path, packed: Mapping[str, Path], python: str, running: str) -> Iterator[Finding]:
    """Yield a finding for each module of the folder that a packed module imports and that is not packed.

    Args:
        folder: the source folder.
        packed: the files that go into the bundle, by their names there.
        python: the descriptor's Python specifier.
        running: the version of the Python that reads the modules here.
    """
    told: set[str] = set()
    for name, path in packed.items():
        if not name.endswith(".py"):
            continue
        try:
            tree = _parse(path)
        except SyntaxError as error:
            where = Where(str(path), error.lineno, error.offset)
            finding = Finding("syntax", f"Python {running} cannot read it: {error.msg}", "correct the syntax", where)
            yield finding if SpecifierSet(python).contains(running, prereleases=True) else finding.as_warning()
            continue
        for found in imports(tree, tuple(name.split("/")[:-1])):
            missing = _not_packed(folder, found.module, packed)
            if missing and missing not in told:
                told.add(missing)
                where = Where(str(path), found.line, found.column)
                message = f"{name} imports {found.module}, but {missing} is not packed"
                remedy = f'add "{_to_add(missing)}" to files in the descriptor'
                finding = Finding("not-packed", message, remedy, where)
                yield finding if found.certain else finding.as_warning()


def imports(tree: ast.Module, package: tuple[str, ...]) -> Iterator[Import]:
    """Yield what a module imports when it runs; what type checkers and `__main__` alone need is left out."""
    pending: list[tuple[ast.AST, bool]] = [(tree, True)]
    while pending:
        node, certain = pending.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno, node.col_offset + 1, certain)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join((*base, *filter(None, [node.module])))
            for alias in node.names:
                full = f"{module}.{alias.name}" if module else alias.name
                yield Import(full, node.lineno, node.col_offset + 1, certain)
        elif isinstance(node, ast.If) and _is_never_run(node.test):
            pending.extend((child, certain) for child in node.orelse)
        elif isinstance(node, ast.Try) and any(_catches(handler.type) for handler in node.handlers):
            pending.extend((child, False) for child in ast.iter_child_nodes(node))
        else:
            pending.extend((child, certain) for child in ast.iter_child_nodes(node))


def required_modules(folder: Path, modules: Collection[str]) -> list[str]:
    """Return the top-level modules that these files of an unpacked bundle cannot do without, and must have installed.

    Python's own modules and those that lie in the folder are left out, and files that cannot be parsed too.
    """
    wanted: set[str] = set()
    for name in modules:
        try:
            tree = _parse(folder / name)
        except SyntaxError:
            continue
        found = imports(tree, tuple(name.split("/")[:-1]))
        wanted.update(one.module.partition(".")[0] for one in found if one.certain)
    here = {name for name in wanted if (folder / name).is_dir() or (folder / f"{name}.py").is_file()}
    return sorted(wanted - here - sys.stdlib_module_names - {""})


def _parse(path: Path) -> ast.Module:
    try:
        if path.stat().st_size > LIMIT:
            return ast.Module([], [])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(path.read_bytes(), str(path))
    except (ValueError, RecursionError, MemoryError, OSError) as error:
        raise SyntaxError(str(error) or type(error).__name__) from None


def _is_never_run(test: ast.expr) -> bool:
    words = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(test)}
    return not words.isdisjoint({"TYPE_CHECKING", "__name__"})


def _catches(caught: ast.expr | None) -> bool:
    return caught is None or any(getattr(node, "id", "") in _GUARDS for node in ast.walk(caught))


def _not_packed(folder: Path, module: str, packed: Collection[str]) -> str | None:
    """Return the first file on the way to the module that is in the folder and not packed."""
    parts = module.split(".")
    if parts[0] == "ocrpack":
        return None
    for length in range(1, len(parts) + 1):
        stem = "/".join(parts[:length])
        candidates = (f"{stem}/__init__.py", f"{stem}.py")
        if any(candidate in packed for candidate in candidates):
            continue
        for candidate in candidates:
            if (folder / candidate).is_file():
                return candidate
    return None


def _to_add(file: str) -> str:
    top, _, rest = file.partition("/")
    return f"/{top}/" if rest else f"/{file}"
