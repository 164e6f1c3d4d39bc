"""Whether the catalogue, the jobs and the stores agree, read past the program: from the tables and the files."""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from support.backing_up import files_below

#: States of a backup that has ended, as its row and its job have them.
ENDS = {"SUCCESS", "FAILED", "CANCELLED"}


@dataclass(frozen=True)
class Agreement:
    """What is compared.

    Args:
        engine: on the own database.
        stores: the folders of all stores, by name; nobody else's backups are there.
    """

    engine: Engine
    stores: Mapping[str, Path]

    def check(self) -> None:
        """Every backup has ended once and is counted, and is in each store that it should be in; so is no other."""
        backups = self._rows("SELECT * FROM backup_log WHERE deleted_at IS NULL")
        jobs = {job["id"]: job for job in self._rows("SELECT * FROM jobs WHERE kind = 'backup'")}
        assert {backup["id"] for backup in backups} == {*jobs}
        for backup in backups:
            job = jobs[backup["id"]]
            assert backup["status"] in ENDS, backup
            assert job["state"] == backup["status"].lower(), (job, backup)
            assert None not in (job["finished_at"], backup["finished_at"]), (job, backup)
        self._check_totals(backups)
        for store, folder in self.stores.items():
            expected = self._expected(store, backups)
            for key, content in expected.items():
                assert content.fits(folder / key), (store, key)
            manifests = {key for key in files_below(folder) if key.endswith(".sql.json")}
            assert manifests == {key for key in expected if key.endswith(".sql.json")}, store

    def leftovers(self) -> list[str]:
        """Files that belong to no backup."""
        backups = self._rows("SELECT * FROM backup_log WHERE deleted_at IS NULL")
        return [
            f"{store}: {key}"
            for store, folder in self.stores.items()
            for key in sorted({*files_below(folder)} - {*self._expected(store, backups)})
        ]

    def _check_totals(self, backups: list[dict[str, Any]]) -> None:
        counted = Counter(backup["status"] for backup in backups)
        [totals] = self._rows("SELECT * FROM backup_totals")
        stored = sum(backup["backup_size"] for backup in backups if backup["status"] == "SUCCESS")
        assert totals["total"] == len(backups)
        assert totals["successful"] == counted["SUCCESS"]
        assert totals["failed"] == len(backups) - counted["SUCCESS"]
        assert totals["stored_bytes"] == stored

    def _expected(self, store: str, backups: list[dict[str, Any]]) -> dict[str, "_Content"]:
        expected = {}
        copies = self._rows("SELECT * FROM backup_copies WHERE storage = :store AND status = 'stored'", store=store)
        for copy in copies:
            [backup] = [each for each in backups if each["id"] == copy["backup_id"]]
            assert backup["status"] == "SUCCESS", backup
            manifest = _parsed(backup["manifest"])
            assert (copy["key"], copy["sha256"]) == (manifest["object"]["key"], manifest["object"]["sha256"])
            for each in [manifest["object"], manifest["facts"], *manifest["attachments"]]:
                expected[each["key"]] = _Content(each["size"], each["sha256"])
            folder, _, _ = manifest["object"]["key"].rpartition("/")
            expected[f"{folder}/{backup['backup_file']}.json"] = _Content(manifest=manifest)
        return expected

    def _rows(self, query: str, **values: object) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(query), values).mappings()]


@dataclass(frozen=True)
class _Content:
    size: int = 0
    sha256: str = ""
    manifest: dict[str, Any] | None = None

    def fits(self, path: Path) -> bool:
        if not path.is_file():
            return False
        content = path.read_bytes()
        if self.manifest is not None:
            return bool(json.loads(content) == self.manifest)
        return (len(content), hashlib.sha256(content).hexdigest()) == (self.size, self.sha256)


def _parsed(manifest: Any) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(manifest) if isinstance(manifest, str) else manifest
    return parsed
