"""Every regular expression of the program, against texts that were made to keep it busy. Tried in a process of its own.

Of each repetition in an expression a text is made that repeats what it takes, and fails at its end. What takes a time
that grows with the square of such a text, or worse, is ended by the limit that the process runs under.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import resource
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import hhh

#: It has no public name.
parser: Any = importlib.import_module("re._parser")
#: Characters. Ten times a square of it is more than any limit.
LENGTH = 100_000
CPU_SECONDS = 20
_ENDINGS = ("\0", "!\n")
_SEEDS = (" ", "a", "0", "\n", '"', "-")
#: Loaded by another program, or only there.
_NOT_HERE = re.compile(r"__main__|\.child\.|api_reference|migrations\.")
_CLASSES = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_NOT_WORD": "-"}
_USES = r"\b{}\.(fullmatch|match|search|sub|finditer|findall|split)\("


def expressions() -> Mapping[str, tuple[re.Pattern[Any], frozenset[str]]]:
    """Each by its name, with the methods that are called of it."""
    found = {}
    for info in pkgutil.walk_packages(hhh.__path__, "hhh."):
        if not _NOT_HERE.search(info.name):
            module = importlib.import_module(info.name)
            for name, value in vars(module).items():
                if isinstance(value, re.Pattern):
                    found[f"{module.__name__}.{name}"] = value, _uses(module, name)
    return found


def try_all() -> None:
    """Tries all of them, which may end this process; prints the name of each before, so that it is known where."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    for name, (pattern, uses) in expressions().items():
        print(name, flush=True)  # noqa: T201
        for text in _texts(pattern):
            subject = text.encode("latin-1", "replace") if isinstance(pattern.pattern, bytes) else text
            for use in uses:
                _apply(pattern, use, subject)
    print("done")  # noqa: T201


def _uses(module: ModuleType, name: str) -> frozenset[str]:
    return frozenset(re.findall(_USES.format(re.escape(name)), inspect.getsource(module)) or ["fullmatch"])


def _apply(pattern: re.Pattern[Any], use: str, subject: Any) -> None:
    if use == "sub":
        pattern.sub(subject[:0], subject)
    elif use == "finditer":
        for _ in pattern.finditer(subject):
            pass
    else:
        getattr(pattern, use)(subject)


def _texts(pattern: re.Pattern[Any]) -> Iterator[str]:
    tree = parser.parse(
        pattern.pattern, pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags
    )
    whole = _text(tree)
    for seed in sorted({*_repeated(tree), whole, *_SEEDS} - {""}):
        for ending in _ENDINGS:
            yield seed * (LENGTH // len(seed)) + ending
            yield whole + seed * (LENGTH // len(seed)) + ending


def _text(tree: Any) -> str:
    """One that the expression, or nearly that, takes."""
    return "".join(_part(str(kind), value) for kind, value in tree)


def _part(kind: str, value: Any) -> str:
    if kind == "LITERAL":
        return chr(value)
    if kind == "IN":
        return _member(value)
    if kind == "BRANCH":
        return _text(value[1][0])
    if kind == "SUBPATTERN":
        return _text(value[3])
    if kind in {"MAX_REPEAT", "MIN_REPEAT"}:
        return _text(value[2]) * max(1, min(value[0], 3))
    return "a" if kind in {"ANY", "NOT_LITERAL"} else ""


def _member(items: Any) -> str:
    kind, value = items[0]
    if str(kind) == "LITERAL":
        return chr(value)
    if str(kind) == "RANGE":
        return chr(value[0])
    return _CLASSES.get(str(value), "a")


def _repeated(tree: Any) -> Iterator[str]:
    for kind, value in tree:
        if str(kind) in {"MAX_REPEAT", "MIN_REPEAT"}:
            yield _text(value[2])
            yield from _repeated(value[2])
        elif str(kind) == "SUBPATTERN":
            yield from _repeated(value[3])
        elif str(kind) == "BRANCH":
            for each in value[1]:
                yield from _repeated(each)
