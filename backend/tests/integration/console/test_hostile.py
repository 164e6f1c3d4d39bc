"""The console against whoever means harm: every route of the router, so that none can be forgotten."""

import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from urllib.parse import quote, urlencode, urlsplit

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr
from sqlalchemy import MetaData, select

from hhh.console.routes import ROUTERS
from hhh.models import AlertKind, JobKind, Role, Scope
from hhh.schemas.alert import ChannelRequest
from hhh.schemas.api_token import TokenRequest
from hhh.services import users
from support.console import Console
from support.pages import Seen, parse
from support.sign_in import EMAIL, PASSWORD, expire_access_token, make_user

#: What anybody may ask for: nothing of the service is in it.
PUBLIC = {"/static/{name}", "/sign-in", "/sign-out"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
#: What whoever is signed in may ask for: it is of themselves.
OWN = {route.path for router in ROUTERS for route in router.routes if route.path.startswith("/account")} | {"/session"}  # type: ignore[attr-defined]
#: Written by time alone, whatever anybody asks for.
_BEATS = {"workers", "alert_watch", "alert_troubles"}
#: Begun by itself.
_UPKEEP = {str(kind) for kind in JobKind} - {"backup", "restore", "verify"}
_PLACES = re.compile(r"\{[^}]*\}")
_IDS = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\b(app|shop|default)\b")

ROUTES = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
GETS = [route for route in ROUTES if route.methods == {"GET"}]
POSTS = [route for route in ROUTES if route.methods == {"POST"}]
assert len(GETS) + len(POSTS) == len(ROUTES)


@dataclass(frozen=True)
class World:
    """A service that has one of everything, and the super admin at its console."""

    console: Console
    #: By the name of a place in a path.
    ids: Mapping[str, str]

    def path(self, route: APIRoute) -> str:
        """The path of something that is there."""
        return route.path_format.format(**self.ids)

    def browser(self, email: str) -> Console:
        """Somebody else, signed in."""
        browser = self.console.another_browser()
        assert browser.sign_in(email=email).status == 303
        return browser

    def rows(self) -> dict[str, set[tuple[object, ...]]]:
        """All that the service's own database has."""
        found: dict[str, set[tuple[object, ...]]] = {}
        with self.console.database.snapshot() as session:
            known = MetaData()
            known.reflect(session.get_bind())
            for table in known.sorted_tables:
                if table.name not in _BEATS:
                    rows = {tuple(map(str, row)) for row in session.execute(select(table))}
                    found[table.name] = {row for row in rows if _UPKEEP.isdisjoint(row)}
        return found


@pytest.fixture(scope="module")
def world(console: Console) -> World:
    console.add_target("shop")
    backup = console.back_up("shop")
    plan = console.send(
        "/restores/plan", {"target": "shop", "destination_target": "shop", "backup_id": backup, "mode": "new"}
    )
    drill = console.send(f"/backups/{backup}/verify", level="readable")
    schedule = {"target": "shop", "cron": "0 3 * * *", "time_zone": "UTC"}
    answer = console.client.post("/api/v1/schedules", json=schedule, headers=console.token).raise_for_status()
    user = make_user(console.database, email="member@example.com", role=Role.MEMBER)
    # Told of nothing that happens here.
    channel = ChannelRequest(name="ops", url=SecretStr("json://127.0.0.1:9/hook"), kinds=[AlertKind.WORKER_LOST])
    ids = {
        "channel_id": console.services.alerts.channels.add(channel).id,
        "backup_id": backup,
        "restore_id": _id_in(plan),
        "verification_id": _id_in(drill),
        "schedule_id": answer.json()["id"],
        "user_id": user.id,
        "session_id": console.client.get("/api/v1/auth/sessions").json()[0]["id"],
        "token_id": console.services.api_tokens.create(EMAIL, TokenRequest(name="ops", scopes=[Scope.ADMIN])).id,
        "job_id": _id_in(drill),
        "name": "shop",
        "rest": "database",
    }
    console.ended(f"/api/v1/restores/{ids['restore_id']}")
    console.ended(f"/api/v1/verifications/{ids['verification_id']}")
    return World(console, ids)


def _id_in(answer: Seen) -> str:
    return urlsplit(answer.location).path.rpartition("/")[2]


# ------------------------------------------------------------------------------------------------------ forms


def test_no_form_of_another_site_does_anything(world: World) -> None:
    console, other = world.console, world.console.another_browser()
    other.sign_in()
    assert other.csrf_token != console.csrf_token
    token = console.csrf_token
    as_field = urlencode({"csrf_token": token})
    ways: Sequence[tuple[str, dict[str, str]]] = [
        ("", FORM),
        ("csrf_token=", FORM),
        (urlencode({"csrf_token": token[:-1]}), FORM),
        (urlencode({"csrf_token": other.csrf_token}), FORM),
        (as_field, {"Content-Type": "text/plain"}),
        (as_field, {"Content-Type": "multipart/form-data; boundary=csrf_token"}),
        (f'{{"csrf_token": "{token}"}}', {"Content-Type": "application/json"}),
        (as_field, {}),
        (as_field, FORM | {"Sec-Fetch-Site": "cross-site"}),
        (as_field, FORM | {"Sec-Fetch-Site": "same-site"}),
        # Both planted by a neighbouring name, which may set cookies for this one.
        (
            urlencode({"csrf_token": other.csrf_token}),
            FORM | {"Cookie": f"hhh_at={console.client.cookies['hhh_at']}; hhh_csrf={other.csrf_token}"},
        ),
    ]
    before = world.rows()

    answers = {
        (route.path, way): console.client.post(world.path(route), content=body, headers=headers).status_code
        for route in POSTS
        for way, (body, headers) in enumerate(ways)
    }

    assert {each for each, status in answers.items() if status != 403} == set()
    assert world.rows() == before


def test_looking_changes_nothing(world: World) -> None:
    before = world.rows()

    answers = {route.path: world.console.client.get(world.path(route)).status_code for route in GETS}

    assert {path for path, status in answers.items() if status >= 500} == set()
    assert world.rows() == before


def test_no_other_method_does_anything(world: World) -> None:
    client, token = world.console.client, {"X-CSRF-Token": world.console.csrf_token}
    others = ("HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE")
    override = {"X-HTTP-Method-Override": "POST", "X-Method-Override": "POST"}
    before = world.rows()

    answers = {
        (path, method): client.request(method, path, headers=token).status_code
        for at, path in enumerate(sorted({world.path(route) for route in ROUTES}))
        for method in (others[at % 3], others[3 + at % 3])
    }
    overridden = {
        route.path: client.get(f"{world.path(route)}?_method=POST&csrf_token=x", headers=token | override).status_code
        for route in POSTS
    }

    assert set(answers.values()) == {405}
    assert max(overridden.values()) < 500
    assert world.rows() == before


# ------------------------------------------------------------------------------------------- who may do what


def _nobody(world: World) -> Console:
    return world.console.another_browser()


def _member(world: World) -> Console:
    return world.browser("member@example.com")


def _ended(world: World) -> Console:
    make_user(world.console.database, email="ended@example.com")
    browser = world.browser("ended@example.com")
    with world.console.database.transaction() as session:
        users.set_password(session, email="ended@example.com", password=PASSWORD)
    return browser


def _demoted(world: World) -> Console:
    make_user(world.console.database, email="demoted@example.com")
    browser = world.browser("demoted@example.com")
    with world.console.database.transaction() as session:
        users.set_role(session, email="demoted@example.com", role=Role.MEMBER)
    return browser


def _removed(world: World) -> Console:
    make_user(world.console.database, email="removed@example.com")
    browser = world.browser("removed@example.com")
    with world.console.database.transaction() as session:
        users.remove(session, email="removed@example.com")
    return browser


def _expired(world: World) -> Console:
    make_user(world.console.database, email="expired@example.com")
    browser = world.browser("expired@example.com")
    expire_access_token(browser.client, world.console.services.settings)
    del browser.client.cookies["hhh_rt"]
    return browser


@pytest.mark.parametrize("somebody", [_nobody, _member, _ended, _demoted, _removed, _expired])
def test_nobody_but_a_super_admin_sees_or_does_anything(world: World, somebody: object) -> None:
    assert callable(somebody)
    browser: Console = somebody(world)
    before = world.rows()
    answers = {}
    for route in ROUTES:
        if route.path in PUBLIC:
            continue
        path = world.path(route)
        if route in GETS:
            answers["GET", route.path] = browser.client.get(path)
        else:
            sent = urlencode({"csrf_token": browser.csrf_token, "name": "shop", "target": "shop"})
            answers["POST", route.path] = browser.client.post(path, content=sent, headers=FORM)

    assert {path for (_, path), answer in answers.items() if not _is_refused(answer)} <= OWN
    assert {route for route, answer in answers.items() if _tells(answer, world)} == set()
    after = world.rows()
    recorded = after.pop("audit_events") - before.pop("audit_events")
    assert all("access.refused" in row for row in recorded)
    assert after | {"audit_head": set()} == before | {"audit_head": set()}


def _is_refused(answer: httpx.Response) -> bool:
    led_to_sign_in = answer.status_code == 303 and answer.headers["Location"].startswith("/sign-in")
    return led_to_sign_in or answer.status_code == 403


def _tells(answer: httpx.Response, world: World) -> bool:
    return any(name in answer.text for name in ("shop", "root@example.com", str(world.console.folder)))


# --------------------------------------------------------------------------------------------- what answers say


def test_every_answer_is_under_the_policy_and_is_kept_nowhere(world: World) -> None:
    client = world.console.client
    answers = [client.get(world.path(route)) for route in GETS if route.path not in PUBLIC]
    answers += [client.get(f"{world.path(route)}%00%FF%0A/x") for route in GETS]
    answers += [client.post(world.path(route)) for route in POSTS]
    answers += [client.delete("/"), client.get("/static/../console.css"), client.get("/static/%2e%2e%2fbase.html.j2")]
    answers += [client.get("/backups", headers={"Accept": accept}) for accept in ("*/*", "application/json", "")]

    for answer in answers:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy, answer
        assert "unsafe" not in policy, answer
        assert answer.headers["Cache-Control"] == "no-store", answer
        assert answer.headers["X-Content-Type-Options"] == "nosniff", answer
        assert answer.headers["X-Frame-Options"] == "DENY", answer


@pytest.mark.parametrize("header", ["Host", "X-Forwarded-Host", "X-Forwarded-Proto", "Referer", "User-Agent", "Origin"])
def test_what_a_browser_says_of_itself_is_on_no_page_and_leads_nowhere(world: World, header: str) -> None:
    said = 'evil.example"><script>alert(1)</script>'

    for path in ("/", "/nowhere", "/backups/x", "/sign-in", "/users"):
        for client in (world.console.client, _nobody(world).client):
            answer = client.get(path, headers={header: said})
            assert "evil" not in answer.text + answer.headers.get("Location", ""), path


# ------------------------------------------------------------------------------------ what others have written

NAMES = [
    "<script>alert(1)</script>",
    "\"'><img src=x>",
    "a\x1b[31m\x9b31m",
    "txt.\u202ecod",
    "a\r\nb",
    "{{ 7 * 7 }}",
    "x" * 2000,
]


def test_names_in_a_database_of_somebody_else_are_shown_as_names(world: World) -> None:
    console = world.console
    with closing(sqlite3.connect(console.add_target("strange"))) as database, database:
        for name in NAMES:
            quoted = '"' + name.replace('"', '""') + '"'
            database.execute(f"CREATE TABLE {quoted} ({quoted} TEXT DEFAULT '{{{{ 8 * 8 }}}}')")
    backup = console.back_up("strange")
    drill = console.send(f"/backups/{backup}/verify", level="proven").location.partition("?")[0]
    console.ended(f"/api/v1/verifications/{drill.rpartition('/')[2]}")

    contents, proof = (console.client.get(path).text for path in (f"/backups/{backup}/contents", drill))

    assert parse(proof).one("h1").text.startswith("Drill of")
    assert "Proven restorable" in proof
    shown = parse(contents).one("table").text
    for told in (
        "<script>alert(1)</script>",
        "\"'><img src=x>",
        "{{ 7 * 7 }}",
        "txt.\ufffdcod",
        "a␛[31m\ufffd31m",
        "a␍ b",
    ):
        assert told in shown
    for page in (contents, proof):
        assert not {"\x1b", "\x9b", "\u202e", "\r"} & set(page)


def test_what_was_typed_comes_back_as_it_was(world: World) -> None:
    path = "no/path\u202e\x1b\x9b"

    page = world.console.client.post(
        "/new-target",
        content=urlencode({"csrf_token": world.console.csrf_token, "name": "x", "engine": "sqlite", "path": path}),
        headers=FORM,
    )

    field = next(each for each in parse(page.text).all("input") if each.get("name") == "path")
    assert field.get("value") == path


# ------------------------------------------------------------------------------------------------ odd input

NASTY = [
    *("", "0", "-1", "2147483648", "9223372036854775808", "9" * 400, "9" * 5000, "1e999", "NaN", "-inf", "١٢٣", "²"),
    *("9999-12-31", "0001-01-01", "0000-01-01", "10000-01", "9999-12", "9999-12-31T23:59", "2025-02-30", "2025-13"),
    *("\0", "a\0b", "\r\nSet-Cookie: x=1", "\x1b[31mred", "\u202egnp.exe", "\ufffe", "\U0010ffff", "é" * 300),
    *("x" * 60_000, "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "javascript:alert(1)"),
    *("//evil.example", "../../etc/passwd", "' OR 1=1--", "%00%s%n", "null", "[]", "shop", "app", "default"),
    *("*/0 * * * *", "0 0 31 2 *", "../UTC", "postgresql://u:p@/x?host=/", "sqlite:////etc/passwd", "file:///"),
    *("http://[::1", "AGE-SECRET-KEY-1", "00000000-0000-0000-0000-000000000000"),
]
#: What any page may be asked for by hand, whether its route declares it or reads it itself.
_ASKED = ("cursor", "page", "until", "done", "from", "sort")
#: Each such request opens all that there is, and writes into it.
_SLOW = {"/settings/health"}


@dataclass(frozen=True)
class Place:
    """Something that can be filled in: a field of a form, or a parameter of a page."""

    method: str
    path: str
    name: str
    fields: Mapping[str, Sequence[str]]

    def send(self, console: Console, value: str) -> httpx.Response:
        """The answer to it."""
        query = urlencode({**self.fields, self.name: value}, doseq=True)
        if self.method == "get":
            return console.client.get(f"{self.path}?{query}")
        return console.client.post(self.path, content=f"csrf_token={console.csrf_token}&{query}", headers=FORM)


def places(world: World, asked: Sequence[str]) -> Iterator[Place]:
    """All of them, on the pages of what is there."""
    seen: set[tuple[str, str, str]] = set()
    for route in GETS:
        if route.path in _SLOW:
            continue
        path = world.path(route)
        for name in dict.fromkeys((*asked, *(each.alias for each in route.dependant.query_params))):
            yield Place("get", path, name, {})
        answer = world.console.client.get(path)
        if not answer.headers.get("Content-Type", "").startswith("text/html"):
            continue
        for form in Seen(answer.status_code, answer.text).forms:
            named = _IDS.sub("", form.action)
            buttons = {name: [value] for name, value in form.buttons.values() if name}
            fields = {**{name: value for name, value in form.fields.items() if name != "csrf_token"}, **buttons}
            for name in [name for name in fields if (form.method, named, name) not in seen]:
                seen.add((form.method, named, name))
                yield Place(form.method, form.action, name, fields)


@pytest.mark.parametrize(
    ("each", "asked"),
    [
        pytest.param(41, (), id="some"),
        pytest.param(1, _ASKED, id="all", marks=[pytest.mark.soak, pytest.mark.timeout(600)]),
    ],
)
def test_no_odd_input_breaks_a_page_or_stands_on_it_as_it_is(world: World, each: int, asked: Sequence[str]) -> None:
    told, turn = [], count()

    for place in places(world, asked):
        for value in NASTY:
            if next(turn) % each == 0:
                answer = place.send(world.console, value)
                if answer.status_code >= 500 or "<script>alert" in answer.text or "<img src=x" in answer.text:
                    told.append((place.method, place.path, place.name, value[:50], answer.status_code))

    assert told == []


def test_no_odd_path_breaks_a_page(world: World) -> None:
    odd = [value for value in NASTY if value.strip("./")]

    told = [
        (route.path, value[:50])
        for at, route in enumerate(route for route in ROUTES if "{" in route.path)
        for value in odd[at % 5 :: 5]
        if _asked(world, route, quote(value[:3000], safe="")).status_code >= 500
    ]

    assert told == []


def _asked(world: World, route: APIRoute, value: str) -> httpx.Response:
    path = _PLACES.sub(value, route.path)
    if route in GETS:
        return world.console.client.get(path)
    return world.console.client.post(path, content=f"csrf_token={world.console.csrf_token}", headers=FORM)
