"""Requests and responses about stores."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from hhh.schemas.base import ApiModel, Moment

_Name = Annotated[str, StringConstraints(max_length=63)]
#: By name; which there are stands in `hhh.storages.options`. Any of them may be a secret.
GivenOptions = dict[_Name, SecretStr | None]

_OPTIONS = (
    "s3: access_key_id, secret_access_key, session_token, region, endpoint_url, virtual_hosted_style_request; "
    "az: account_name, account_key or sas_key, endpoint_url; gs: service_account_key, endpoint_url. "
    "Without credentials, those of the service's environment are used. "
)


class StorageRequest(ApiModel):
    """A store to register."""

    name: str = Field(description="Lower-case letters, digits, `-`, `_`, `.`; at most 63 characters.")
    url: str = Field(description="`file:///folder`, `s3://bucket/prefix`, `az://container/prefix`, `gs://bucket/…`.")
    options: GivenOptions = Field(default={}, description=_OPTIONS)


class StorageUpdate(ApiModel):
    """What is to be another."""

    url: str | None = None
    options: GivenOptions = Field(
        default={},
        description=_OPTIONS + "An option that is null goes. Secrets that are left out are kept, unless another "
        "account or server is named: they were given for that one.",
    )
    objects_moved: bool = Field(
        default=False,
        description="Must be true where the place changes and backups are in it: they are in the new one.",
    )


class StorageResource(ApiModel):
    """A store. No secret is in it."""

    name: str
    url: str
    options: dict[str, str] = Field(description="Those that are no secret.")
    secrets: list[str] = Field(description="The names of the secret options that are set.")
    problem: str | None = Field(description="Why it can't be opened, e.g. with another secret key.")
    created_at: Moment | None
    updated_at: Moment | None


class StorageStep(ApiModel):
    """One thing that was tried."""

    name: str
    ok: bool
    detail: str


class TestedStorage(ApiModel):
    """How a try to use a store for backups ended."""

    name: str
    ok: bool
    steps: list[StorageStep] = Field(description="In their order, up to the first one that failed.")
    error: str | None


#: What becomes of the backups that are in a store that goes.
CopiesOfStore = Literal["forget", "forget-backups"]


class RemovedStorage(ApiModel):
    """What became of the backups in a store that is registered no more. Every object is still there."""

    name: str
    copies_forgotten: int = Field(description="Copies that the catalogue has no longer.")
    backups_forgotten: int = Field(
        description="Backups that were in no other store; `hhh catalogue rebuild` adds them."
    )
