"""The recovery kit: one text to print or to keep elsewhere, with all it takes to get backups back without the service.

It holds no secret, unless a passphrase is given: then they are in it, encrypted by that passphrase.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pyrage

from hhh.artifacts.encryption import Recipients
from hhh.artifacts.identities import Identities
from hhh.core.clock import isoformat, utcnow
from hhh.core.errors import InvalidInput
from hhh.core.files import needed
from hhh.core.logging import mask
from hhh.core.text import listed
from hhh.core.version import PRODUCT_VERSION
from hhh.models import Action
from hhh.schemas.storage import StorageResource
from hhh.services import audit
from hhh.services.container import Services
from hhh.services.policies import TargetPolicy, resolved
from hhh.services.stores import DEFAULT_STORE
from hhh.services.trust import further_keys
from hhh.storages.registry import open_storage

#: Whoever finds a kit may try passphrases for as long as they like.
SHORTEST_PASSPHRASE = 16
#: The page that the kit ends with; it is `docs/recover-without-hhh.md`.
_PAGE = "recover-without-hhh.md"
#: What a store's address does not tell and nobody remembers; none is a secret.
_STORE_VARIABLES = ("AWS_ENDPOINT_URL", "AWS_REGION", "AZURE_STORAGE_ACCOUNT_NAME")


@dataclass(frozen=True, slots=True)
class Keys:
    """The public halves of all keys."""

    installation: str
    #: The key that this installation signs manifests with, in base64.
    signing_key: str
    #: Further keys whose signature counts.
    trusted_keys: tuple[str, ...]
    #: The age keys that new backups are encrypted for.
    recipients: tuple[str, ...]
    #: The age keys whose identity is in ``HHH_AGE_IDENTITY_FILE``.
    identities: tuple[str, ...]


def public_keys(services: Services) -> Keys:
    """What may be shown of the keys.

    Raises:
        ConfigurationError: a key or a setting can't be used.
    """
    settings = services.settings
    return Keys(
        installation=services.identity.installation,
        signing_key=services.identity.signing_key.public_key,
        trusted_keys=further_keys(settings),
        recipients=Recipients(settings.age_recipients).names,
        identities=Identities.load(settings.age_identity_file).recipients,
    )


def recovery_kit(services: Services, passphrase: str | None = None) -> str:
    """The kit, a Markdown text.

    Args:
        services: of the installation.
        passphrase: encrypts the secrets; None leaves them out.

    Raises:
        InvalidInput: the passphrase is too short.
        ConfigurationError: a key or a setting can't be used.
    """
    lines = list(_introduction(services))
    if passphrase is not None:
        lines += _secrets_section(services, passphrase)
        audit.record_alone(services.database, Action.KEYS, "recovery kit with secrets")
    return "\n".join(lines) + "\n\n" + page()


def page() -> str:
    """The page that says how to recover without the service."""
    return (resources.files("hhh.services") / _PAGE).read_text(encoding="utf-8")


def _introduction(services: Services) -> Iterator[str]:
    keys = public_keys(services)
    yield "# HHH Backup: recovery kit"
    yield ""
    yield f"Written {isoformat(utcnow())} by HHH Backup {PRODUCT_VERSION}. It is good until one of these changes."
    yield ""
    yield f"- Installation: `{keys.installation}`"
    yield f"- Its manifests are signed by: `{keys.signing_key}`"
    yield from (f"- Trusted as well: `{key}`" for key in keys.trusted_keys)
    yield from (f"- Backups are encrypted for: `{recipient}`" for recipient in keys.recipients)
    if not keys.recipients:
        yield "- Backups are not encrypted."
    address = open_storage(services.settings.default_storage_url).address
    yield f"- Store `{DEFAULT_STORE}`: `{address}`"
    yield from (f"- {name}: `{mask(value)}`" for name in _STORE_VARIABLES if (value := os.environ.get(name)))
    yield from (_store(each) for each in services.stores.list() if each.name != DEFAULT_STORE)
    policies = services.policies.set_policies()
    for target in services.targets.list():
        stores = ", ".join(f"`{name}`" for name in resolved(policies.get(target.name, TargetPolicy())))
        yield f"- Target `{target.name}`, {target.engine.value}, in {stores}"
    identity = " --identity FILE" if keys.recipients or keys.identities else ""
    yield ""
    yield "**The whole service**, on an empty machine: install HHH there, write the settings (`HHH_STORAGE_URL` and the"
    yield "store's credentials; `HHH_DATABASE_URL`, where it is PostgreSQL), and"
    yield ""
    yield "```bash"
    yield "hhh recover-service --kit KIT_WITH_SECRETS.md"
    yield "```"
    yield ""
    yield "**One database.** Where HHH can be installed, this makes a new file of a SQLite backup. For PostgreSQL,"
    yield "`--to -` takes the URL of a new database from standard input. Each store that a target is in has all it"
    yield "takes; `--from` names one, and the environment has its credentials. Without HHH, see below."
    yield ""
    yield "```bash"
    yield f"hhh restore --from {shlex.quote(address)} --target NAME --to NEW.db{identity} \\"
    yield "  " + " ".join(f"--trusted-key {key}" for key in (keys.signing_key, *keys.trusted_keys))
    yield "```"


def _store(store: StorageResource) -> str:
    """A registered store: where it is, and what else one must have to read it."""
    options = "".join(f", {name} `{mask(value)}`" for name, value in store.options.items())
    secrets = f"; needs its {listed(store.secrets)}, kept elsewhere" if store.secrets else ""
    problem = f"; {store.problem}" if store.problem else ""
    return f"- Store `{store.name}`: `{mask(store.url)}`{options}{secrets}{problem}"


def _secrets_section(services: Services, passphrase: str) -> Iterator[str]:
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise InvalidInput(
            f"The passphrase is shorter than {SHORTEST_PASSPHRASE} characters", hint="six random words are a good one"
        )
    sealed: bytes = pyrage.passphrase.encrypt(_secrets(services).encode(), passphrase, armored=True)
    yield ""
    yield "## The secrets, encrypted by a passphrase"
    yield ""
    yield "With this text as `kit.md`, `age` asks for the passphrase and prints them:"
    yield ""
    yield "```bash"
    yield "sed -n '/^-----BEGIN AGE/,/^-----END AGE/p' kit.md > secrets.age && age -d secrets.age"
    yield "```"
    yield ""
    yield sealed.decode().strip()


def _secrets(services: Services) -> str:
    settings = services.settings
    public_key = services.identity.signing_key.public_key  # makes the file, if it was not there yet
    parts = [
        f"HHH_SECRET_KEY={settings.secret.decode()}",
        f"# {settings.signing_key_path.name}, the signing key, whose public half is {public_key}:",
        _content(settings.signing_key_path),
    ]
    if settings.age_identity_file is not None:
        parts += [f"# {settings.age_identity_file.name}, the age identity:", _content(settings.age_identity_file)]
    return "\n".join(parts) + "\n"


def _content(path: Path) -> str:
    with needed(path):
        return path.read_text(encoding="utf-8").strip()
