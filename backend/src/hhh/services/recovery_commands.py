"""The commands that recover one backup by hand, with its own names, keys and hashes.

They are those of `docs/recover-without-hhh.md`, which says more. Whatever a name holds, the shell takes it for a name;
credentials stand in none.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import SplitResult, unquote, urlsplit

from hhh.artifacts.manifest import Manifest, StoredObject, parse_manifest
from hhh.artifacts.retrieval import manifest_key
from hhh.core.errors import NotFound
from hhh.engines.base import EngineKind
from hhh.models import CopyStatus
from hhh.schemas.backup import BackupResource, CopyResource
from hhh.schemas.recovery import FetchingResource, RecoveryCommands, Step
from hhh.schemas.storage import StorageResource
from hhh.services.catalogue import Catalogue
from hhh.services.stores import StoreService
from hhh.storages.options import endpoint_of

#: Names that stay as they are; another one becomes what the object is.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,200}")


@dataclass(frozen=True, slots=True)
class _Object:
    """One object, and the file that it is fetched to."""

    key: str
    file: str
    #: None of the manifest, which has no hash but a signature.
    sha256: str | None


class RecoveryCommandsService:
    """Writes them; reads no store."""

    def __init__(self, catalogue: Catalogue, stores: StoreService) -> None:
        self._catalogue = catalogue
        self._stores = stores

    def of(self, backup_id: str) -> RecoveryCommands:
        """Those for one backup, for each of its good copies; for all of them where none is good.

        Raises:
            NotFound: no backup has that id, or it holds nothing.
            ManifestInvalid: its manifest is damaged.
        """
        backup = self._catalogue.get(backup_id)
        if backup.manifest is None:
            raise NotFound(f"The backup holds nothing: it is {backup.status}", hint="see `hhh backup list`")
        # By hand, whoever recovers decides whom to trust: the key that signed is told beside.
        manifest = parse_manifest(json.dumps(backup.manifest).encode(), None)
        stores = {store.name: store for store in self._stores.list()}
        objects = _objects(manifest)
        return RecoveryCommands(
            backup_id=backup.id,
            needs=list(_needs(manifest)),
            copies=[_fetching(copy, stores.get(copy.storage), objects) for copy in _good(backup)],
            steps=list(_steps(manifest, objects)),
        )


def _good(backup: BackupResource) -> Sequence[CopyResource]:
    return [copy for copy in backup.copies if copy.status == CopyStatus.STORED] or backup.copies


def _objects(manifest: Manifest) -> Sequence[_Object]:
    """All of them, the dump first."""
    age = ".age" if manifest.object.encryption else ""
    stored: list[tuple[StoredObject, str]] = [(manifest.object, "dump.zst"), (manifest.facts, "facts.json")]
    stored += [(each, f"{each.name}.zst") for each in manifest.attachments]
    objects = [_Object(each.key, _file(each.key, name + age), each.sha256) for each, name in stored]
    key = manifest_key(manifest)
    return [*objects, _Object(key, _file(key, "manifest.json"), None)]


def _file(key: str, otherwise: str) -> str:
    name = PurePosixPath(key).name
    return name if _PLAIN_NAME.fullmatch(name) else otherwise


# ------------------------------------------------------------------------------------------------------ the store


def _fetching(copy: CopyResource, store: StorageResource | None, objects: Sequence[_Object]) -> FetchingResource:
    if store is None:
        note = f"The store is not known here any more; the dump has the key {copy.key} there."
        return FetchingResource(storage=copy.storage, commands=None, note=note)
    url = urlsplit(store.url)
    tool = _TOOLS[url.scheme]
    lines = ["mkdir -p recovered && cd recovered", *(tool.fetch(url, store.options, each) for each in objects)]
    return FetchingResource(storage=copy.storage, commands=_text(lines), note=tool.note)


def _copied(url: SplitResult, _options: Mapping[str, str], stored: _Object) -> str:
    path = Path(unquote(url.path)) / stored.key
    return f"cp -- {shlex.quote(str(path))} {stored.file}"


def _from_s3(url: SplitResult, options: Mapping[str, str], stored: _Object) -> str:
    more = "".join(
        f" {name} {shlex.quote(value)}"
        for name, value in (("--endpoint-url", endpoint_of("s3", options)), ("--region", options.get("region")))
        if value
    )
    return f"aws s3 cp {shlex.quote(f's3://{url.netloc}/{_below(url, stored)}')} {stored.file}{more}"


def _from_azure(url: SplitResult, options: Mapping[str, str], stored: _Object) -> str:
    account = options.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    where = f" --account-name {shlex.quote(account)}" if account else ""
    if endpoint := endpoint_of("az", options):
        where += f" --blob-endpoint {shlex.quote(endpoint)}"
    name = shlex.quote(_below(url, stored))
    # With `=`, so that a name that begins with a dash is no option.
    return (
        f"az storage blob download{where} --container-name={shlex.quote(url.netloc)} --name={name} --file={stored.file}"
    )


def _from_google(url: SplitResult, _options: Mapping[str, str], stored: _Object) -> str:
    return f"gcloud storage cp {shlex.quote(f'gs://{url.netloc}/{_below(url, stored)}')} {stored.file}"


def _below(url: SplitResult, stored: _Object) -> str:
    prefix = unquote(url.path).strip("/")
    return f"{prefix}/{stored.key}" if prefix else stored.key


@dataclass(frozen=True, slots=True)
class _Tool:
    fetch: Callable[[SplitResult, Mapping[str, str], _Object], str]
    note: str


#: By the scheme of a store's URL.
_TOOLS: Mapping[str, _Tool] = {
    "file": _Tool(_copied, "On the machine that has the folder."),
    "s3": _Tool(_from_s3, "With the store's credentials, as `aws configure` or AWS_ACCESS_KEY_ID … have them."),
    "az": _Tool(_from_azure, "With the store's credentials, as `az login` or AZURE_STORAGE_KEY have them."),
    "gs": _Tool(_from_google, "With the store's credentials, as `gcloud auth login` has them."),
}


# ------------------------------------------------------------------------------------------------------ the files


def _needs(manifest: Manifest) -> Iterator[str]:
    yield "sha256sum and zstd"
    if manifest.recipients:
        yield f"age, and the identity of {' or '.join(manifest.recipients)}"
    if manifest.engine is EngineKind.SQLITE:
        yield "sqlite3"
        return
    major = manifest.versions.get("server", "").partition(".")[0]
    newer = f" {major} or newer, those of the server that you restore to" if major.isdecimal() else ""
    yield f"pg_restore, createdb and vacuumdb of PostgreSQL{newer}"


def _steps(manifest: Manifest, objects: Sequence[_Object]) -> Iterator[Step]:
    hashes = [f"{each.sha256}  {each.file}" for each in objects if each.sha256]
    checked = ["sha256sum -c - <<'HASHES'", *hashes, "HASHES"]
    yield Step(title="Check what was fetched: go on only if every line says OK", commands=_text(checked))
    dump = objects[0].file
    opened = f"zstd -d -c {dump}"
    if manifest.object.encryption:
        key = ["KEY=~/hhh-backup.key    # the age identity"]
        yield Step(title="Say where the age identity is", commands=_text(key))
        opened = f'age -d -i "$KEY" {dump} | zstd -d'
    yield from _STEPS[manifest.engine](opened)


def _postgresql(opened: str) -> Iterator[Step]:
    yield Step(
        title="Restore into a new database; PGHOST, PGPORT, PGUSER and PGPASSWORD say where and as whom",
        commands=_text(
            [
                "set -o pipefail    # a failure anywhere in a pipe is a failure",
                "createdb --template=template0 restored",
                f"{opened} | pg_restore --exit-on-error --no-owner --dbname=restored",
                "vacuumdb --analyze-only --quiet --dbname=restored",
            ]
        ),
    )


def _sqlite(opened: str) -> Iterator[Step]:
    yield Step(
        title="Open it into a new file; the last line has to print ok",
        commands=_text(
            [
                "set -o pipefail    # a failure anywhere in a pipe is a failure",
                f"test ! -e restored.db && {opened} > restored.db &&",
                "  sqlite3 restored.db 'PRAGMA integrity_check'",
            ]
        ),
    )


_STEPS: Mapping[EngineKind, Callable[[str], Iterator[Step]]] = {
    EngineKind.POSTGRESQL: _postgresql,
    EngineKind.SQLITE: _sqlite,
}


def _text(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
