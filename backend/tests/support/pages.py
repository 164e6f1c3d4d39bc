"""Pages as tests read them: what is on one, and whether it is made as every page must be.

Tags must be balanced: what a browser would mend by itself is a mistake of a template.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser

_VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
_UNSEEN = frozenset({"script", "style", "template", "noscript"})
#: A browser ends a paragraph before one of these.
_NOT_IN_PARAGRAPHS = frozenset({"div", "dl", "fieldset", "form", "h1", "h2", "h3", "ol", "p", "pre", "table", "ul"})
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_TYPED = ("input", "select", "textarea")
_INLINE = frozenset({"a", "abbr", "b", "code", "data", "em", "kbd", "span", "strong", "time"})
_SCOPES = ("col", "row", "colgroup", "rowgroup")
_REFERENCES = (
    "aria-controls",
    "aria-describedby",
    "aria-labelledby",
    "data-copies",
    "data-opens",
    "for",
    "popovertarget",
)


@dataclass
class Element:
    """One element, with what is in it."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    parent: Element | None = None
    content: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What is read of it, each run of white space as one space."""
        return " ".join("".join(self._texts()).split())

    def get(self, name: str) -> str:
        """An attribute; empty where it is not there."""
        return self.attributes.get(name, "")

    def all(self, *tags: str) -> list[Element]:
        """The elements in it of these tags, of every tag if none is given, in their order."""
        return [each for each in self._below() if not tags or each.tag in tags]

    def one(self, *tags: str) -> Element:
        """The first of them; AssertionError if there is none."""
        found = self.all(*tags)
        assert found, f"no {' or '.join(tags)} in {self.text[:200]!r}"
        return found[0]

    def where(self, fits: Callable[[Element], bool]) -> list[Element]:
        """The elements in it of which something is true."""
        return [each for each in self._below() if fits(each)]

    def within(self, *tags: str) -> Element | None:
        """The nearest element of these tags that it stands in."""
        above = self.parent
        while above is not None and above.tag not in tags:
            above = above.parent
        return above

    def _below(self) -> Iterator[Element]:
        for each in self.content:
            if isinstance(each, Element):
                yield each
                yield from each._below()

    def _texts(self) -> Iterator[str]:
        for each in self.content:
            if isinstance(each, str):
                yield each
            elif each.tag not in _UNSEEN:
                yield from each._texts() if each.tag in _INLINE else (" ", *each._texts(), " ")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self._open = Element("")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        twice = [name for name, count in Counter(name for name, _ in attrs).items() if count > 1]
        assert not twice, f"<{tag}> has {twice} twice"
        element = Element(tag, {name: value or "" for name, value in attrs}, self._open)
        paragraph = element if tag == "p" else element.within("p")
        assert tag not in _NOT_IN_PARAGRAPHS or element.within("p") is None, f"<{tag}> in {paragraph!r:.300}"
        self._open.content.append(element)
        if tag not in _VOID:
            self._open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        line, _ = self.getpos()
        assert self._open.tag == tag, f"line {line}: </{tag}> where <{self._open.tag}> is open"
        assert self._open.parent is not None
        self._open = self._open.parent

    def handle_data(self, data: str) -> None:
        self._open.content.append(data)

    def close(self) -> None:
        super().close()
        assert self._open is self.root, f"<{self._open.tag}> is never closed"


@dataclass(frozen=True)
class PageForm:
    """A form, and what a browser would send of it if nothing was changed."""

    action: str
    method: str
    fields: Mapping[str, list[str]]
    #: The values that can be chosen, of each choice.
    choices: Mapping[str, list[str]]
    #: The labels of its buttons, each with the field that it sends.
    buttons: Mapping[str, tuple[str, str]]


class Seen:
    """An answer, read: empty but for `status`, `location` and `html` where it is no page."""

    def __init__(self, status: int, html: str, *, location: str = "", is_page: bool = True) -> None:
        self.status = status
        self.html = html
        self.location = location
        self.root = parse(html) if is_page else Element("")
        if is_page:
            check(self.root)

    def __repr__(self) -> str:
        return f"Seen({self.status}, {self.location or self.text[:2000]!r})"

    @property
    def main(self) -> Element:
        """The page without its frame."""
        return next(iter(self.root.all("main")), self.root)

    @property
    def text(self) -> str:
        """All that is read of it."""
        return self.main.text

    @property
    def title(self) -> str:
        """Of the window, without the product's name."""
        return self.root.one("title").text.removesuffix(" · HHH Backup")

    @property
    def heading(self) -> str:
        """The first."""
        return self.root.one("h1").text

    @property
    def headings(self) -> list[str]:
        """All of them."""
        return [each.text for each in self.main.all(*_HEADINGS)]

    @property
    def links(self) -> dict[str, str]:
        """Where its links lead to, by their texts; of several alike the first."""
        return {_name(each): each.get("href") for each in reversed(self.main.all("a"))}

    @property
    def notices(self) -> list[str]:
        """What it says of what was done or failed."""
        told = self.main.where(lambda each: "notice" in each.get("class").split() and "hidden" not in each.attributes)
        return [each.text for each in told]

    @property
    def facts(self) -> dict[str, str]:
        """What stands in its lists of facts."""
        told: dict[str, str] = {}
        term = ""
        for each in self.main.all("dt", "dd"):
            if each.tag == "dt":
                told[term := each.text] = ""
            else:
                told[term] = f"{told[term]} {each.text}".strip()
        return told

    @property
    def wrong(self) -> dict[str, str]:
        """What is said of each input that can't be used, by its name."""
        return {
            each.get("name"): self._described(each)
            for each in self.main.all(*_TYPED)
            if each.get("aria-invalid") == "true"
        }

    @property
    def forms(self) -> list[PageForm]:
        """Its forms, without the one of the frame."""
        return [_form(each) for each in self.main.all("form")]

    def form(self, button: str, *, action: str = "") -> PageForm:
        """The first form that has such a button, and leads there; AssertionError if there is none."""
        for each in self.forms:
            if button in each.buttons and each.action.startswith(action):
                return each
        there = [(each.action, [*each.buttons]) for each in self.forms]
        raise AssertionError(f"no form with {button!r} to {action!r}, but {there}")

    def table(self, name: str = "") -> Element:
        """The table whose caption or label begins so; the first of the page if none is named."""
        found = [each for each in self.main.all("table") if not name or _table_name(each, self.root).startswith(name)]
        assert found, f"no table {name!r}: {[_table_name(each, self.root) for each in self.main.all('table')]}"
        return found[0]

    def rows(self, table: str = "") -> list[dict[str, str]]:
        """The rows of a table (see `table`), by the names of its columns; none where there is no table at all."""
        if not table and not self.main.all("table"):
            return []
        found = self.table(table)
        columns = [each.text for each in found.one("thead").all("th", "td")]
        bodies = [row for body in found.all("tbody") for row in body.all("tr")]
        return [dict(zip(columns, (cell.text for cell in row.all("th", "td")), strict=False)) for row in bodies]

    def _described(self, element: Element) -> str:
        ids = element.get("aria-describedby").split()
        return " ".join(each.text for each in self.root.all() if each.get("id") in ids)


def parse(html: str) -> Element:
    """Reads a page; AssertionError where its tags are not balanced."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.root


def check(root: Element) -> None:
    """AssertionError with all that is wrong with a page."""
    ids = Counter(each.get("id") for each in root.all() if "id" in each.attributes)
    wrong = [said for each in root.all() for said in _wrong_with(each, root, ids)]
    wrong += [f"{count} elements have the id {name!r}" for name, count in ids.items() if count > 1 or not name]
    # A drawing has titles of its own.
    once = {tag: [each for each in root.all(tag) if each.within("svg") is None] for tag in ("h1", "main", "title")}
    wrong += [f"{len(found)} <{tag}>" for tag, found in once.items() if len(found) != 1]
    wrong += _wrong_headings(root)
    wrong += [f"{left!r} is left of a template" for left in re.findall(r"{{|{%|{#|\bUndefined\b", root.text)]
    assert not wrong, "; ".join(wrong)


def _wrong_headings(root: Element) -> Iterator[str]:
    last = 0
    for each in root.one("main").all(*_HEADINGS):
        level = int(each.tag[1])
        if level > last + 1 and each.within("dialog") is None:
            yield f"<{each.tag}> {each.text!r} comes after an h{last}"
        last = level
        if not each.text:
            yield f"an empty <{each.tag}>"


def _wrong_with(element: Element, root: Element, ids: Container[str]) -> Iterator[str]:
    name = f"<{element.tag} {' '.join(f'{key}={value!r}' for key, value in element.attributes.items())}>"
    for attribute, value in element.attributes.items():
        yield from (f"{name} {said}" for said in _wrong_attribute(attribute, value, ids))
    yield from (f"{name} {said}" for fits, said in _RULES if fits(element, root))


def _wrong_attribute(name: str, value: str, ids: Container[str]) -> Iterator[str]:
    if name == "style" or name.startswith("on"):
        yield f"has {name}"
    if name in ("src", "action") and not value.startswith("/"):
        yield "leads elsewhere"
    if name == "href" and value.startswith(("javascript:", "data:")):
        yield "leads to a script"
    if name in _REFERENCES:
        yield from (f"names {one!r}, which is not there" for one in value.split() if one not in ids)


def _is_among_buttons(element: Element) -> bool:
    return element.parent is not None and "actions" in element.parent.get("class").split()


def _is_labelled(element: Element, root: Element) -> bool:
    if element.get("aria-label") or element.get("aria-labelledby") or element.within("label") is not None:
        return True
    return any(label.get("for") == element.get("id") and label.text for label in root.all("label"))


#: What must not be true of any element, and how it is told.
_RULES: tuple[tuple[Callable[[Element, Element], bool], str], ...] = (
    (lambda each, _: each.tag == "style" or (each.tag == "script" and not each.get("src")), "is inline"),
    (
        lambda each, root: each.tag in _TYPED and each.get("type") != "hidden" and not _is_labelled(each, root),
        "has no label",
    ),
    (lambda each, _: each.tag in ("button", "a", "summary") and not _name(each), "has no text"),
    (lambda each, _: "state" in each.get("class").split() and _is_among_buttons(each), "would not be printed"),
    (lambda each, _: each.tag == "img" and "alt" not in each.attributes, "has no alt"),
    (lambda each, _: each.tag == "th" and each.get("scope") not in _SCOPES, "has no scope"),
    (lambda each, _: each.tag == "table" and not _table_name(each, _), "has no caption or label"),
    (lambda each, _: each.tag == "form" and each.get("method") not in ("post", "get", "dialog"), "has no method"),
    (
        lambda each, _: each.tag == "form" and each.get("method") == "post" and "csrf_token" not in _form(each).fields,
        "has no CSRF token",
    ),
)


def _name(element: Element) -> str:
    pictures = " ".join(each.get("alt") for each in element.all("img"))
    return element.get("aria-label") or element.text or pictures


def _table_name(table: Element, root: Element) -> str:
    caption = " ".join(each.text for each in table.all("caption"))
    ids = table.get("aria-labelledby").split()
    labels = [each.text for each in root.all() if each.get("id") in ids]
    return caption or table.get("aria-label") or " ".join(labels)


def _form(form: Element) -> PageForm:
    fields: dict[str, list[str]] = {}
    choices: dict[str, list[str]] = {}
    for each in form.all(*_TYPED):
        name, options = each.get("name"), _options(each)
        if not name or "disabled" in each.attributes:
            continue
        if options is not None:
            choices.setdefault(name, []).extend(value for value, _ in options)
        fields.setdefault(name, []).extend(_sent(each))
    buttons = {_name(each): (each.get("name"), each.get("value")) for each in form.all("button")}
    return PageForm(form.get("action"), form.get("method"), fields, choices, buttons)


def _options(element: Element) -> list[tuple[str, bool]] | None:
    """What can be chosen, and whether it is; None where anything can be typed."""
    if element.tag == "select":
        return [
            (each.attributes.get("value", each.text), "selected" in each.attributes) for each in element.all("option")
        ]
    if element.get("type") in ("checkbox", "radio"):
        return [(element.attributes.get("value", "on"), "checked" in element.attributes)]
    return None


def _sent(element: Element) -> list[str]:
    options = _options(element)
    if options is None:
        typed = "".join(each for each in element.content if isinstance(each, str)).removeprefix("\n")
        return [typed if element.tag == "textarea" else element.get("value")]
    chosen = [value for value, is_chosen in options if is_chosen]
    if element.tag == "select" and "multiple" not in element.attributes:
        return (chosen or [value for value, _ in options])[:1]
    return chosen
