"""Settings: environment variables with the prefix ``HHH_``, or a ``.env`` in the working directory."""

from __future__ import annotations

import difflib
import os
import secrets
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import quote, urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError

from hhh.core.errors import ConfigurationError
from hhh.core.files import needed, write_private

PREFIX = "HHH_"
#: Variables of the stores' own tools that a ``.env`` may hold; they are exported for obstore to read.
STORE_PREFIXES = ("AWS_", "AZURE_", "GOOGLE_")
#: Variables of commands that ask a service elsewhere; no settings of this one.
_OF_CLIENTS = frozenset({"HHH_TOKEN"})

#: Every key is derived from the secret key: what can be guessed would give them all away.
_SHORTEST_SECRET = 32
#: In the data folder, where it was made.
_SECRET_FILE = "secret.key"  # noqa: S105  a name
_SECRET_HINT = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"  # noqa: S105  a command, not a secret


def _split_commas(value: object) -> object:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _web_url(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname or not url.isprintable()):
        raise ValueError("it is no http:// or https:// URL")
    return url


def _secret_web_url(url: SecretStr) -> SecretStr:
    _web_url(url.get_secret_value())
    return url


#: Queues of jobs; `hhh.models.job.QUEUES` has what is in each. Each begins with a letter of its own: the names of
#: Procrastinate's queues have room for no more of it (`hhh.jobs.procrastinate_names`).
QueueName = Literal["backup", "restore", "verify", "upkeep"]
QUEUE_NAMES: tuple[QueueName, ...] = get_args(QueueName)

CommaSeparated = Annotated[list[str], BeforeValidator(_split_commas)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
Paths = Annotated[list[AbsolutePath], BeforeValidator(_split_commas)]


class Settings(BaseModel):
    """All settings, typed. Each is the environment variable ``HHH_<NAME>``; lists are comma-separated."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    env: Literal["dev", "production"] = "dev"
    data_dir: AbsolutePath = Field(default=Path("var"), validate_default=True)
    database_url: SecretStr = SecretStr("")
    jobs_database_url: SecretStr = SecretStr("")
    secret_key: SecretStr = SecretStr("")
    signing_key_file: AbsolutePath | None = None
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    #: 0: no separate port.
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    metrics_host: str = "127.0.0.1"
    trusted_proxies: CommaSeparated = []
    storage_url: SecretStr = SecretStr("")
    scratch_dir: AbsolutePath = Path("/tmp")  # noqa: S108  the runbook's own default; a run makes a private folder in it
    age_recipients: CommaSeparated = []
    age_identity_file: AbsolutePath | None = None
    admin_email: str = ""
    admin_password: SecretStr = SecretStr("")
    pg_bin_dir: AbsolutePath | None = None
    worker_slots: Annotated[int, Field(ge=1, le=100)] = 4
    #: What processes that run jobs take from.
    worker_queues: Annotated[list[QueueName], BeforeValidator(_split_commas), Field(min_length=1)] = [*QUEUE_NAMES]
    running_limit: Annotated[int, Field(ge=0, le=10_000)] = 0
    drain_seconds: Annotated[float, Field(ge=0, le=86_400)] = 20
    store_stall_seconds: Annotated[float, Field(gt=0, le=86_400)] = 60
    #: So often the own database is backed up by itself; 0: never.
    own_backup_hours: Annotated[float, Field(ge=0, le=8_760)] = 24
    sweep_safe_hours: Annotated[float, Field(gt=0, le=87_600)] = 24
    #: So much of what is stored is read back each day; 0: nothing by itself.
    read_back_percent: Annotated[float, Field(ge=0, le=100)] = 4
    drill_user: str | None = None
    restore_dirs: Paths = []
    restore_undo_days: Annotated[float, Field(ge=0, le=3650)] = 7
    trusted_keys: CommaSeparated = []
    cookie_secure: bool | None = None
    #: Whether super admins without a second factor may do nothing but set it up.
    require_second_factor: bool = False
    #: Whether what is registered may not be reached over loopback, link-local addresses or Unix sockets.
    refuse_local_addresses: bool = False
    cors_origins: CommaSeparated = []
    auto_migrate: bool = True
    #: Where people reach the console; alerts lead there.
    public_url: Annotated[str, AfterValidator(_web_url)] = ""
    #: Called after each look for troubles, so that somebody elsewhere notices when nobody looks any more.
    heartbeat_url: Annotated[SecretStr, AfterValidator(_secret_web_url)] = SecretStr("")
    #: A store whose disk is so full is nearly full.
    store_full_percent: Annotated[float, Field(gt=0, le=100)] = 90
    #: A backup that is so many times larger or smaller than those before it is out of line.
    size_factor: Annotated[float, Field(gt=1, le=1_000_000)] = 3

    @property
    def default_database_file(self) -> Path | None:
        """The SQLite file of the own database, where no ``HHH_DATABASE_URL`` names another."""
        return None if self.database_url.get_secret_value() else self.data_dir / "hhh.db"

    @property
    def own_database_url(self) -> str:
        """The URL of the service's own database, which is also the target ``app``."""
        file = self.default_database_file
        return f"sqlite:///{quote(str(file))}" if file else self.database_url.get_secret_value()

    @property
    def default_storage_url(self) -> str:
        """The URL of the store that backups go to."""
        return self.storage_url.get_secret_value() or (self.data_dir / "backups").as_uri()

    @property
    def signing_key_path(self) -> Path:
        """Where the installation's Ed25519 key is kept."""
        return self.signing_key_file or self.data_dir / "signing.key"

    @property
    def private_paths(self) -> tuple[Path, ...]:
        """Where secrets of the service lie: programs that run the code of dumps may not see them."""
        paths = (self.data_dir, self.signing_key_path, self.age_identity_file, Path(".env").absolute())
        return tuple(path for path in paths if path is not None)

    @property
    def cookies_are_secure(self) -> bool:
        """Whether cookies are for HTTPS only: everywhere but in dev, unless set."""
        return self.env != "dev" if self.cookie_secure is None else self.cookie_secure

    @cached_property
    def secret(self) -> bytes:
        """The key material of ``HHH_SECRET_KEY``; in dev it is made at first use and kept, mode 0600."""
        if self.secret_key.get_secret_value():
            return self.secret_key.get_secret_value().encode()
        return _kept_secret(self.data_dir / _SECRET_FILE)


def load_settings(environment: Mapping[str, str] | None = None, *, dotenv: Path | None = None) -> Settings:
    """Reads the settings and makes the data folder (0700).

    Args:
        environment: variables to read instead of the process's own.
        dotenv: the file to read below them; default ``.env`` in the working directory.

    Raises:
        ConfigurationError: a name is unknown, a value is of the wrong form, or a required one is missing.
    """
    settings = read_settings(environment, dotenv=dotenv)
    _require(settings)
    with needed(settings.data_dir):
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return settings


def read_settings(environment: Mapping[str, str] | None = None, *, dotenv: Path | None = None) -> Settings:
    """The settings as far as they are there, for work that needs no service: nothing is made, nothing is required.

    Args:
        environment: as for `load_settings`.
        dotenv: as for `load_settings`.

    Raises:
        ConfigurationError: a name is unknown, or a value is of the wrong form.
    """
    dotenv_names = {name: value or "" for name, value in dotenv_values(dotenv or Path(".env")).items()}
    names = {**dotenv_names, **(os.environ if environment is None else environment)}
    for name in _OF_CLIENTS:
        names.pop(name, None)
    _refuse_unknown(names)
    _export_store_variables(dotenv_names)
    values: dict[str, Any] = {
        name.removeprefix(PREFIX).lower(): value for name, value in names.items() if name.startswith(PREFIX) and value
    }
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigurationError(_describe(error)) from None


def _known_names() -> list[str]:
    return [PREFIX + name.upper() for name in Settings.model_fields]


def _refuse_unknown(names: Mapping[str, str]) -> None:
    known = _known_names()
    for name in sorted(names):
        if name.startswith(PREFIX) and name not in known:
            nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
            raise ConfigurationError(f"Unknown setting {name}", hint=hint)


def _export_store_variables(dotenv_names: Mapping[str, str]) -> None:
    for name, value in dotenv_names.items():
        if name.startswith(STORE_PREFIXES):
            os.environ.setdefault(name, value)


def _describe(error: ValidationError) -> str:
    problems = (f"{PREFIX}{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors() if item["loc"])
    return "; ".join(problems) or "The settings do not fit"


def _require(settings: Settings) -> None:
    secret = settings.secret_key.get_secret_value()
    if settings.env == "production" and not secret:
        raise ConfigurationError("HHH_SECRET_KEY is required in production", hint=_hint_of_secret(settings))
    if secret and len(secret) < _SHORTEST_SECRET:
        raise ConfigurationError(f"HHH_SECRET_KEY is shorter than {_SHORTEST_SECRET} characters", hint=_SECRET_HINT)
    jobs_database = settings.jobs_database_url.get_secret_value()
    if jobs_database and not jobs_database.startswith("postgres"):
        raise ConfigurationError(
            "HHH_JOBS_DATABASE_URL is not PostgreSQL", hint="e.g. postgresql://user:password@host:5432/hhh_jobs"
        )
    if jobs_database and not settings.own_database_url.startswith("postgres"):
        raise ConfigurationError(
            "HHH_JOBS_DATABASE_URL is set, and HHH_DATABASE_URL is not PostgreSQL",
            hint="many workers share both databases: set HHH_DATABASE_URL to a PostgreSQL database of its own",
        )


def _hint_of_secret(settings: Settings) -> str:
    kept = settings.data_dir / _SECRET_FILE
    if kept.exists():  # it was in use before: with another key, what was sealed with it could not be opened
        return f"set it to what {kept} holds: passwords of targets, stores and channels are sealed with that"
    return _SECRET_HINT


def _kept_secret(path: Path) -> bytes:
    with needed(path):
        if not path.exists():
            write_private(path, secrets.token_urlsafe(48).encode(), exclusive=True)
        kept = path.read_bytes().strip()
    if len(kept) < _SHORTEST_SECRET:
        raise ConfigurationError(
            f"{path} does not hold the secret that was kept there", hint="restore it, or remove it"
        )
    return kept
