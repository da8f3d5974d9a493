"""The rules of writing: what no file does. Each is a function from modules to its breaches.

There is no list of exemptions: who needs another rule changes the table, and says why.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

from support.source import Module, imports

CATCH_ALL = (
    "gateway/flows/dispatch.py",
    "gateway/flows/supervisor.py",
    "gateway/web/server.py",
)
LINES_OF_A_FUNCTION_MAX = 60
LINES_OF_A_FILE_MAX = 400
NESTING_MAX = 3
BANNED_WORDS = frozenset(
    {
        "notification",
        "notifications",
        "job",
        "jobs",
        "util",
        "utils",
        "helper",
        "helpers",
        "common",
        "manager",
        "managers",
    }
)


def catch_all(found: Iterable[Module]) -> Iterator[str]:
    """`except Exception` stands in the lane loop, the HTTP middleware and the supervisor only."""
    for module in found:
        if module.path in CATCH_ALL:
            continue
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and _catches_all(node):
                yield module.at(node, "catches everything")
            if isinstance(node, ast.Call) and _suppresses_all(node):
                yield module.at(node, "suppresses everything")


def import_habits(found: Iterable[Module]) -> Iterator[str]:
    """Imports are absolute and stand at the top, never inside a function."""
    for module in found:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                yield module.at(node, "relative import")
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                for used in imports(node):
                    yield module.at(used.node, "import inside a function")


def state(found: Iterable[Module]) -> Iterator[str]:
    """No module holds state: what is changed belongs to an object that somebody built."""
    for module in found:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Global):
                yield module.at(node, "global statement")
        for node in module.tree.body:
            for name in _assigned(node):
                if name != name.upper() and _is_container(getattr(node, "value", None)):
                    yield module.at(node, f"{name} is state of the module")


def sizes(found: Iterable[Module]) -> Iterator[str]:
    """A function fits on a screen, a file in a head."""
    for module in found:
        lines = len(module.text.splitlines())
        if lines > LINES_OF_A_FILE_MAX:
            yield f"{module.path} has {lines} lines"
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > LINES_OF_A_FUNCTION_MAX:
                    yield module.at(node, f"{node.name} has {length} lines")
                if (depth := _depth(node)) > NESTING_MAX:
                    yield module.at(node, f"{node.name} nests {depth} deep")


def words(found: Iterable[Module]) -> Iterator[str]:
    """One word per idea, and none of those that mean everything."""
    for module in found:
        for part in module.path.removesuffix(".py").split("/"):
            if _banned(part):
                yield f"{module.path} has a banned word"
        for node, name in _named(module.tree):
            if _banned(name):
                yield module.at(node, f"{name} has a banned word")


def docstrings(found: Iterable[Module]) -> Iterator[str]:
    """A module says what lives there; a package file may be empty."""
    for module in found:
        if module.text.strip() and not ast.get_docstring(module.tree):
            yield f"{module.path} does not say what lives here"


# --- how they look --------------------------------------------------------------


def _catches_all(handler: ast.ExceptHandler) -> bool:
    if isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None:
        return False  # It only cleans up on the way.
    return handler.type is None or _is_everything(handler.type)


def _suppresses_all(call: ast.Call) -> bool:
    named = ast.unparse(call.func).rpartition(".")[2] == "suppress"
    return named and any(_is_everything(argument) for argument in call.args)


def _is_everything(node: ast.expr) -> bool:
    kinds = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(ast.unparse(kind) in {"Exception", "BaseException"} for kind in kinds)


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        if isinstance(target, ast.Name) and not target.id.startswith("__"):
            yield target.id


def _is_container(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        makers = {"dict", "list", "set", "bytearray", "defaultdict", "deque", "Counter"}
        return ast.unparse(value.func).rpartition(".")[2] in makers
    kinds = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    return isinstance(value, kinds)


_BLOCKS = (
    ast.If | ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith | ast.Try | ast.Match
)


def _depth(node: ast.AST, depth: int = 0) -> int:
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue  # It is measured for itself.
        is_elif = isinstance(node, ast.If) and [child] == node.orelse and isinstance(child, ast.If)
        deeper = isinstance(child, _BLOCKS) and not is_elif
        deepest = max(deepest, _depth(child, depth + deeper))
    return deepest


def _named(tree: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node, node.name
        elif isinstance(node, ast.arg):
            yield node, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node, node.attr


def _banned(name: str) -> bool:
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in name)
    parts = spaced.replace("_", " ").lower().split()
    # `base_url` is the contract's own word; a thing that is only a base is not.
    is_base = parts == ["base"] or (len(parts) > 1 and name[0].isupper() and "base" in parts)
    return is_base or not BANNED_WORDS.isdisjoint(parts)
