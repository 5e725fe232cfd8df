"""Which modules of the package a module imports, found by reading the source, never by running it."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

from lung_tumor.settings import PROJECT

PACKAGE = "lung_tumor"


def file_of(module: str) -> Path | None:
    """Source file of a module or package of ours, None where there is none."""
    path = PROJECT / "src" / Path(*module.split("."))
    found = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in found if file.is_file()), None)


def closure(modules: Iterable[str]) -> set[str]:
    """``modules`` and all of ours that they import, in whatever function and however indirectly."""
    seen: set[str] = set()
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen.add(module)
        file = file_of(module)
        assert file is not None, f"{module} is no module of this project"
        waiting.extend(imported(file.read_text(encoding="utf-8")))
    return seen


def imported(source: str) -> set[str]:
    """Modules of ours that ``source`` imports, `if TYPE_CHECKING:` left out."""
    reader = _Reader()
    reader.visit(ast.parse(source))
    return reader.found


class _Reader(ast.NodeVisitor):
    def __init__(self) -> None:
        self.found: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        skipped = [] if ast.unparse(node.test).endswith("TYPE_CHECKING") else node.body
        for child in (*skipped, *node.orelse):
            self.visit(child)

    def visit_Import(self, node: ast.Import) -> None:
        self.found |= {alias.name for alias in node.names if _is_ours(alias.name)}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        assert node.level == 0, "imports are absolute in this project"
        if node.module and _is_ours(node.module):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            self.found |= {name if file_of(name) else node.module for name in names}


def _is_ours(module: str) -> bool:
    return module.split(".", maxsplit=1)[0] == PACKAGE
