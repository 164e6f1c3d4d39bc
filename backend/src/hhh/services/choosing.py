"""Which backup of a store is meant, where no catalogue knows them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from urllib.parse import unquote

from hhh.artifacts.manifest import Manifest, parse_manifest
from hhh.artifacts.naming import is_manifest
from hhh.artifacts.retrieval import FoundManifest, manifest_key, read_manifest
from hhh.core.errors import InvalidInput, ManifestInvalid, NotFound
from hhh.schemas.restore import Check
from hhh.storages.base import Storage
from hhh.storages.registry import open_storage

_SUFFIX = ".json"
#: How many manifests that can't be used are passed over in search of one that can.
_PATIENCE = 200


@dataclass(frozen=True, slots=True)
class Choice:
    """Which backup; what is None does not narrow it, and of several of one database the newest is meant."""

    #: Of a store, of a folder in it, or of one manifest.
    url: str
    installation: str | None = None
    target: str | None = None
    #: ``backup_20250101_120000.sql``
    backup_file: str | None = None
    #: Backup files that are not meant, e.g. since they turned out to be damaged.
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ChosenBackup:
    """A backup in a store, and what is to be said of its manifest."""

    storage: Storage
    manifest: Manifest
    checks: tuple[Check, ...]
    #: The public key (base64) that the manifest is signed by.
    signer: str


def choose(choice: Choice, keys: Collection[str] | None) -> ChosenBackup:
    """Finds the backup. Of a store of any size, one listing and, as a rule, one manifest are read.

    Args:
        choice: which.
        keys: whose signature counts; None takes any, and says so in a check that the operator has to acknowledge.

    Raises:
        NotFound: there is none like that.
        InvalidInput: there are several databases to choose from, or the URL is of no store.
        ManifestInvalid: the one that is named can't be used, e.g. since its signature is not one of these keys'.
        StorageError: the store does not answer.
    """
    if is_manifest(choice.url):
        folder, _, name = choice.url.rpartition("/")
        choice = replace(choice, url=folder, backup_file=unquote(name).removesuffix(_SUFFIX))
    storage, places = _listed(choice.url)
    asked = [place for place in places if _is_asked_for(choice, place)]
    if not asked:
        raise _nothing(storage, places)
    _refuse_several(storage, asked, choice.target)
    passed: list[FoundManifest] = []
    for place in sorted(asked, key=_age, reverse=True)[:_PATIENCE]:
        found = read_manifest(storage, place, keys)
        if found.manifest is not None:
            checks = (_check_signature(found, trusted=keys is not None), _check_newest(found, passed))
            return ChosenBackup(storage, found.manifest, checks, found.signer)
        passed.append(found)
    raise _unusable(storage, passed)


def _listed(url: str) -> tuple[Storage, Sequence[str]]:
    """The store, and the keys of its manifests.

    Keys count from the store's root; where a folder in it is named, a manifest tells which folder that is.
    """
    storage = open_storage(url)
    places = [info.key for info in storage.list() if is_manifest(info.key)]
    for place in places:
        inner = _folder_between(storage, place)
        if inner is not None and url.rstrip("/").endswith(f"/{inner}"):
            root = url.rstrip("/").removesuffix(f"/{inner}")
            rooted = open_storage(f"{root}/" if root.endswith("://") else root)
            return rooted, [f"{inner}/{each}" for each in places]
    return storage, places


def _folder_between(storage: Storage, place: str) -> str | None:
    """What the key of a manifest in this place lacks, to be as the manifest says; None where nothing does."""
    if place.count("/") >= 2:  # noqa: PLR2004  installation and target are there
        return None
    try:
        key = manifest_key(parse_manifest(read_manifest(storage, place, None).content, None))
    except ManifestInvalid:
        return None
    return key.removesuffix(f"/{place}") if key.endswith(f"/{place}") else None


def _is_asked_for(choice: Choice, place: str) -> bool:
    installation, target, backup_file = _names(place)
    return (
        choice.installation in {None, installation}
        and choice.target in {None, target}
        and choice.backup_file in {None, backup_file}
        and backup_file not in choice.without
    )


def _names(place: str) -> tuple[str, str, str]:
    """Installation, target and backup file, as the key has them."""
    parts = ["", "", *place.split("/")]
    return parts[-3], parts[-2], parts[-1].removesuffix(_SUFFIX)


def _age(place: str) -> tuple[str, int]:
    """By which backups of one target sort as they were begun: ``…_120000_10`` after ``…_120000_2``."""
    _, date, time, *ordinal = _names(place)[2].removesuffix(".sql").split("_")
    return f"{date}{time}", int(ordinal[0]) if ordinal else 1


def _refuse_several(storage: Storage, asked: Collection[str], target: str | None) -> None:
    counted = Counter(_names(place)[:2] for place in asked)
    if len(counted) > 1:
        raise InvalidInput(
            f"{storage.address} has backups of several databases",
            hint="choose one: "
            + "; ".join(
                f"{_options(names[0], None if target else names[1])} ({counted[names]})" for names in sorted(counted)
            ),
        )


def _nothing(storage: Storage, places: Collection[str]) -> NotFound:
    if not places:
        return NotFound(f"{storage.address} has no backups", hint="is it the right folder or bucket, with its prefix?")
    counted = Counter(_names(place)[:2] for place in places)
    return NotFound(
        f"{storage.address} has no backup like that",
        hint="it has: " + "; ".join(f"{_options(*names)} ({counted[names]})" for names in sorted(counted)),
    )


def _options(installation: str, target: str | None) -> str:
    return f"--installation {installation}{f' --target {target}' if target else ''}"


def _unusable(storage: Storage, passed: Sequence[FoundManifest]) -> ManifestInvalid:
    more = f"; nor can {len(passed) - 1} older ones" if len(passed) > 1 else ""
    return ManifestInvalid(
        f"{storage.address}: {passed[0].key} can't be used: {passed[0].problem}{more}",
        hint="a certain one is named with --backup",
    )


def _check_signature(found: FoundManifest, *, trusted: bool) -> Check:
    if trusted:
        return Check.ok("signature", f"The manifest is signed by {found.signer}, which is trusted")
    return Check.doubtful(
        "signature",
        f"The manifest is undamaged, but whose it is was not proven: it is signed by {found.signer}. If that is the "
        "key of your installation (the recovery kit has it), name it with --trusted-key",
    )


def _check_newest(chosen: FoundManifest, passed: Sequence[FoundManifest]) -> Check:
    """Whether there is a newer one that can't be used: a restore would bring back less than the operator expects."""
    file = _names(chosen.key)[2]
    if not passed:
        return Check.ok("newest", f"{file} is the newest that is asked for")
    return Check.doubtful(
        "newest",
        f"{file} would be restored, but {len(passed)} newer can't be used: {passed[0].problem}",
    )
