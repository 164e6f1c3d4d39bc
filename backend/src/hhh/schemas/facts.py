"""Facts of a source, taken in the same snapshot as its dump; a restore is compared with them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class FactsModel(BaseModel):
    """Base of all facts: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TableFacts(FactsModel):
    """One table that holds rows of its own."""

    #: Empty for SQLite.
    schema_name: str
    name: str
    rows: int
    #: Of its rows, whatever their order; None where none was taken (`hhh.schemas.policy.ProofFields`).
    fingerprint: str | None = None
    #: Which extension made it, where that is so: another version of it may fill it with other rows.
    extension: str | None = None
    #: Schema and name of a partitioned table, where a restore shares its rows out among its partitions anew.
    root: tuple[str, str] | None = None


class SequenceFacts(FactsModel):
    """One sequence, read before the dump began: the dump holds this value or a later one."""

    schema_name: str
    name: str
    last_value: int
    is_called: bool
    increment: int
    #: Whether it begins again at its end, or was set back while the dump was made: that may hold an earlier value.
    goes_back: bool = False


class ExtensionFacts(FactsModel):
    """One installed extension."""

    name: str
    version: str
    schema_name: str


class LargeObjectGrant(FactsModel):
    """One privilege on large objects."""

    grantor: str
    #: Empty for PUBLIC.
    grantee: str
    #: ``SELECT`` or ``UPDATE``.
    privilege: str
    #: Whether the grantee may grant it to others.
    is_grantable: bool


class LargeObjectPrivileges(FactsModel):
    """Large objects that have one owner and the same privileges."""

    owner: str
    #: All of them, in any order. The owner is among them, unless something was revoked from himself.
    grants: list[LargeObjectGrant]
    count: int
    #: Their numbers, ascending: ``4711 4713..4720``. Of what lies between two ends, all that exist. A text, since there
    #: may be a million.
    objects: str


class LargeObjectFacts(FactsModel):
    """Large objects of PostgreSQL."""

    count: int
    #: None where the role may not read them all to measure them.
    total_bytes: int | None
    #: Of those that have others than new ones have. None where they are not known: in imports, in backups of releases
    #: that took none, and in what was restored where not all could be given back, of which there is a warning.
    privileges: list[LargeObjectPrivileges] | None = None


class DatabaseProperties(FactsModel):
    """What belongs to the database itself; ``pg_dump`` without ``--create`` leaves it out."""

    name: str
    owner: str
    encoding: str
    #: ``libc``, ``icu`` or ``builtin``.
    locale_provider: str
    collation: str
    character_type: str
    icu_locale: str | None
    collation_version: str | None
    #: ``ALTER DATABASE … SET`` and ``ALTER ROLE … IN DATABASE … SET``, each ``role or empty, name=value``.
    settings: list[tuple[str, str]]


class PostgresqlFacts(FactsModel):
    """Facts of a PostgreSQL database."""

    engine: Literal["postgresql"] = "postgresql"
    server_version: str
    #: ``pg_control_system()``; None where the role may not call it.
    system_identifier: str | None
    database: DatabaseProperties
    tables: list[TableFacts]
    sequences: list[SequenceFacts]
    large_objects: LargeObjectFacts
    extensions: list[ExtensionFacts]
    #: Roles that own something in the database or are named in a privilege of it.
    roles: list[str]
    #: What was left out, and what the tool warned of; may name tables.
    warnings: list[str] = []


class SqliteFacts(FactsModel):
    """Facts of a SQLite database, taken from the copy that is the artifact."""

    engine: Literal["sqlite"] = "sqlite"
    sqlite_version: str
    page_size: int
    page_count: int
    journal_mode: str
    encoding: str
    user_version: int
    application_id: int
    auto_vacuum: int
    #: None for a copy too large to look up each row in each index while it is stored.
    integrity_check: Literal["ok"] | None
    #: None for a restored file whose bytes were checked when they were backed up.
    quick_check: Literal["ok"] | None
    tables: list[TableFacts]
    #: ``type name`` of every index, view and trigger.
    objects: list[tuple[str, str]]
    #: Of everything in ``sqlite_schema``: type, name, its table, and its SQL, empty where it has none. None in backups
    #: of releases that took none.
    definitions: list[tuple[str, str, str, str]] | None = None


Facts = PostgresqlFacts | SqliteFacts
