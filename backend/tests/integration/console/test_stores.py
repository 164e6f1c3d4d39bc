"""The rooms of stores: listed, made with a test, shown, changed, removed. No secret is on any page."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from hhh.console.views.store_form import KINDS
from hhh.storages.options import OPTIONS
from support.console import Console
from support.pages import Seen
from support.s3 import S3Bucket

SECRET = "s3cret-key-of-the-store"


def fill(console: Console, page: Seen, button: str, fields: Mapping[str, str]) -> Seen:
    """Types into a form whose fields have names that are none in Python, and presses its button."""
    form = page.form(button)
    assert form.fields.keys() >= fields.keys()
    return console.send(form.action, {**form.fields, **dict([form.buttons[button]]), **fields}, follow=True)


def s3_fields(bucket: S3Bucket, prefix: str) -> Mapping[str, str]:
    """A bucket as it is typed into the form."""
    return {
        "kind": "s3",
        "s3-place": bucket.name,
        "s3-prefix": prefix,
        "s3-access_key_id": bucket.access_key_id,
        "s3-secret_access_key": bucket.secret_access_key,
        "s3-endpoint_url": bucket.endpoint,
    }


def test_the_form_asks_for_every_option_that_there_is() -> None:
    asked = {scheme: {each.option for each in kind.options} for scheme, kind in KINDS.items()}
    assert asked == {scheme: set(options) for scheme, options in OPTIONS.items()}


def test_with_one_store_the_list_says_what_to_do_and_where_it_comes_from(fresh_console: Console) -> None:
    page = fresh_console.get("/stores")
    default = fresh_console.press(fresh_console.get("/stores/default"), "Test")

    assert [row["Store"].split()[0] for row in page.rows()] == ["default"]
    assert "All backups are in one place" in page.text
    assert "HHH_STORAGE_URL is empty" in default.facts["Set by"]
    assert default.notices[0].startswith("It does all that backups need: write")
    assert default.links["app"] == "/targets/app"
    assert fresh_console.get("/stores/default/edit").status == 422
    assert fresh_console.get("/stores/default/remove").status == 422
    assert fresh_console.send("/stores/default/remove", name="default").status == 422


def test_a_folder_is_registered_once_it_was_tried(console: Console) -> None:
    folder = console.folder / "a folder?#%41 é"

    page = fill(
        console,
        console.get("/new-store"),
        "Test and save",
        {"name": "folder", "kind": "file", "file-place": str(folder)},
    )

    assert page.heading == "folder"
    assert folder.is_dir()
    assert console.services.stores.test("folder").ok
    assert console.get("/stores/folder/edit").form("Test and save").fields["file-place"] == [str(folder)]


def test_a_store_that_fails_is_told_step_by_step_and_not_saved(console: Console) -> None:
    (console.folder / "a file").write_text("")
    fields = {"name": "failing", "kind": "file", "file-place": f"{console.folder}/a file/x"}

    page = fill(console, console.get("/new-store"), "Test and save", fields)

    assert page.status == 422
    assert page.notices[0].startswith("It can't be used for backups. What failed is the last of these: write")
    assert "failing" not in {each.name for each in console.services.stores.list()}
    saved = fill(console, page, "Save without a test", fields)
    assert saved.heading == "failing"
    assert "It can't be used for backups" in console.press(saved, "Test").notices[0]


def test_a_bucket_keeps_its_secret_where_the_rest_is_changed(console: Console, s3: S3Bucket) -> None:
    console.secrets.add(s3.secret_access_key)
    page = fill(console, console.get("/new-store"), "Test and save", {"name": "bucket", **s3_fields(s3, "p q/é")})
    assert (page.heading, page.facts["secret_access_key"]) == ("bucket", "set, and shown to nobody")
    form = console.get("/stores/bucket/edit")
    assert form.form("Test and save").fields["s3-secret_access_key"] == [""]
    assert form.form("Test and save").fields["s3-prefix"] == ["p q/é"]

    changed = fill(console, form, "Test and save", {"s3-region": "eu-central-1"})

    assert changed.notices[0] == "The store is changed."
    assert changed.facts["region"] == "eu-central-1"
    assert console.services.stores.test("bucket").ok
    without = fill(console, console.get("/stores/bucket/edit"), "Test and save", {"s3-region": ""})
    assert "region" not in without.facts


@pytest.mark.parametrize("button", ["Test and save", "Save without a test"])
def test_a_known_secret_goes_to_no_other_server(fresh_console: Console, s3: S3Bucket, button: str) -> None:
    fresh_console.secrets.add(s3.secret_access_key)
    fresh_console.send("/new-store", {"name": "kept", "do": "save", **s3_fields(s3, "p")})

    page = fill(
        fresh_console, fresh_console.get("/stores/kept/edit"), button, {"s3-endpoint_url": "https://evil.example.com"}
    )

    assert page.status == 422
    assert "secret_access_key is missing" in page.notices[0]
    assert page.form(button).fields["s3-endpoint_url"] == ["https://evil.example.com"]


def test_the_secret_of_a_store_that_fails_is_not_drawn_again(console: Console, s3: S3Bucket) -> None:
    console.secrets |= {SECRET, s3.secret_access_key}
    fields = {**s3_fields(s3, "w"), "s3-secret_access_key": SECRET, "s3-place": "no-such-bucket"}

    page = fill(console, console.get("/new-store"), "Test and save", {"name": "nowhere", **fields})

    assert page.status == 422
    assert "It can't be used for backups" in page.notices[0]
    assert page.form("Test and save").fields["s3-secret_access_key"] == [""]
    assert page.form("Test and save").fields["s3-place"] == ["no-such-bucket"]


def test_a_key_of_an_account_is_a_document_and_never_shown(console: Console) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    account = {"private_key": pem, "private_key_id": "1", "client_email": "x@example.com"}
    console.secrets |= set(pem.splitlines())
    fields = {
        "name": "cloud",
        "kind": "gs",
        "gs-place": "b",
        "gs-service_account_key": json.dumps(account, indent=1),
    }

    fill(console, console.get("/new-store"), "Save without a test", fields)
    page = console.get("/stores/cloud/edit")

    assert "It is set; leave it empty to keep it." in page.text
    assert page.form("Test and save").fields["gs-service_account_key"] == [""]
    kept = fill(console, page, "Save without a test", {"gs-prefix": "x"})
    assert kept.facts["service_account_key"] == "set, and shown to nobody"


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"name": "Upper"}, {"name": "This can't be its name"}),
        ({"name": "<script>alert(1)</script>"}, {"name": "This can't be its name"}),
        ({"kind": "ftp"}, {"kind": "Choose what kind of store it is"}),
        ({"file-place": ""}, {"file-place": "This is needed"}),
        ({"file-place": "relative"}, {"file-place": "Begin with /"}),
        ({"file-place": "/a/../b"}, {"": "needs three slashes and an absolute path"}),
        ({"file-place": "/a\0b"}, {"": "needs three slashes and an absolute path"}),
        ({"kind": "s3"}, {"s3-place": "This is needed"}),
        ({"kind": "s3", "s3-place": "a/b@c"}, {"": "names no bucket or container"}),
        ({"kind": "s3", "s3-place": "b", "s3-prefix": "a/../b"}, {"": ".."}),
        ({"kind": "s3", "s3-place": "b", "s3-access_key_id": "x"}, {"": "secret_access_key is missing"}),
        ({"kind": "s3", "s3-place": "b", "s3-endpoint_url": "https://x"}, {"": "only for a store with credentials"}),
        ({"kind": "az", "az-place": "b", "az-account_name": "NO"}, {"": "account_name can't be that"}),
    ],
)
@pytest.mark.parametrize("do", ["test", "save"])
def test_what_can_not_be_used_is_told(
    console: Console, do: str, fields: Mapping[str, str], wrong: Mapping[str, str]
) -> None:
    page = console.send("/new-store", {"name": "bad", "kind": "file", "file-place": "/srv/x", "do": do, **fields})

    assert page.status == 422
    [(field, said)] = wrong.items()
    assert said in (page.wrong[field] if field else page.notices[0])
    assert "<script>alert" not in page.html
    assert "bad" not in {each.name for each in console.services.stores.list()}


@pytest.mark.parametrize("path", ["", "/edit", "/remove"])
@pytest.mark.parametrize("name", ["nobody", "%00", "%3Cscript%3E", "x" * 70])
def test_a_store_that_is_not_there_is_not_found(console: Console, name: str, path: str) -> None:
    assert console.get(f"/stores/{name}{path}").status == 404
    if path:
        assert console.send(f"/stores/{name}{path}", name=name).status == 404


def test_a_place_that_is_taken_is_told(console: Console) -> None:
    place = str(console.services.settings.data_dir / "backups")
    page = console.send("/new-store", {"name": "again", "kind": "file", "file-place": place, "do": "save"})

    assert page.status == 422
    assert "The store 'default' is the same place" in page.notices[0]


def test_with_backups_in_it_a_store_is_moved_only_by_who_says_that_they_are_moved(fresh_console: Console) -> None:
    console, old, new = fresh_console, fresh_console.folder / "old", fresh_console.folder / "new"
    console.services.stores.add("moving", f"file://{old}")
    console.add_target("moved", storages=["moving"])
    console.back_up("moved")
    form = console.get("/stores/moving/edit")

    refused = fill(console, form, "Save without a test", {"file-place": str(new)})
    old.rename(new)
    moved = fill(console, form, "Test and save", {"file-place": str(new), "objects_moved": "yes"})

    assert refused.status == 409
    assert "1 backup(s) are in the store 'moving'" in refused.notices[0]
    assert moved.notices[0] == "The store is changed."
    assert console.services.stores.get("moving").url == f"file://{new}"


def test_a_store_is_removed_once_nothing_needs_it_and_its_backups_are_given_up_by_name(
    fresh_console: Console, tmp_path: Path
) -> None:
    console = fresh_console
    console.services.stores.add("going", f"file://{tmp_path}/going")
    console.add_target("shop", storages=["going"])
    console.back_up("shop")
    form = console.get("/stores/going/remove")
    assert form.links["shop"] == "/targets/shop/edit"

    needed = console.press(form, "Remove going", name="going", copies="forget-backups")
    console.press(console.get("/targets/shop/edit"), "Save without a test", storages=["default"])
    wrong = console.press(form, "Remove going", name="other", copies="forget-backups")
    full = console.press(form, "Remove going", name="going")
    only = console.press(form, "Remove going", name="going", copies="forget")
    removed = console.press(only, "Remove going", name="going", copies="forget-backups")

    assert (needed.status, wrong.status, full.status, only.status) == (409, 422, 409, 409)
    assert "where backups of these targets go: shop" in needed.notices[0]
    assert "1 of them nowhere else" in full.notices[0]
    assert only.form("Remove going").fields["copies"] == ["forget"]
    assert removed.heading == "going is removed"
    assert "1 copy, and 1 backup that was in no other store" in removed.text
    assert console.get("/stores/going").status == 404
    assert [*(tmp_path / "going").rglob("*.json")] != []


def test_a_store_whose_secret_is_lost_says_so_and_is_typed_again(fresh_console: Console) -> None:
    console = fresh_console
    console.services.stores.add("sealed", f"file://{console.folder}/sealed")
    with console.database.transaction() as session:
        session.connection().exec_driver_sql("UPDATE stores SET sealed_options = 'AAAA' WHERE name = 'sealed'")

    rows = {row["Store"].split()[0]: row for row in console.get("/stores").rows()}
    page = console.get("/stores/sealed")
    again = console.press(console.get("/stores/sealed/edit"), "Test and save")

    assert rows["sealed"]["State"] == "can't be opened"
    assert "It can't be opened" in page.notices[0]
    assert again.notices == ["The store is changed."]
