"""The form of a store: the place, who may enter, and which server it is on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from hhh.artifacts.naming import valid_target_name
from hhh.console.typed import Typed, WrongFieldsError, typed_again
from hhh.schemas.storage import StorageResource
from hhh.services.stores import StoreChange
from hhh.storages.options import kinds_of
from hhh.web.forms import Fields

FOLDER = "file"


@dataclass(frozen=True, slots=True)
class OptionField:
    """How one option of a store is asked for."""

    option: str
    label: str
    hint: str = ""
    #: ``text``, ``choice`` (of yes and no) or ``document`` (of several lines).
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of store."""

    label: str
    #: What the place is called.
    place: str
    options: Sequence[OptionField] = ()


_ENDPOINT = OptionField("endpoint_url", "Endpoint", "Empty: the provider's own. Else such as https://s3.example.com.")
#: By the scheme of the URL, as `hhh.storages.options.OPTIONS` has them.
KINDS: Mapping[str, Kind] = {
    "s3": Kind(
        "S3, and whatever speaks it",
        "Bucket",
        (
            OptionField("access_key_id", "Access key id", "Empty: the credentials of the service's environment."),
            OptionField("secret_access_key", "Secret access key"),
            OptionField("session_token", "Session token", "Only of credentials that end."),
            OptionField("region", "Region", "Such as eu-central-1."),
            _ENDPOINT,
            OptionField(
                "virtual_hosted_style_request",
                "Bucket in the host's name",
                "Only where the server asks for it: https://bucket.host instead of https://host/bucket.",
                "choice",
            ),
        ),
    ),
    "az": Kind(
        "Azure Blob Storage",
        "Container",
        (
            OptionField("account_name", "Account", "Empty: the credentials of the service's environment."),
            OptionField("account_key", "Account key", "This one or a shared access signature."),
            OptionField("sas_key", "Shared access signature (SAS)"),
            _ENDPOINT,
        ),
    ),
    "gs": Kind(
        "Google Cloud Storage",
        "Bucket",
        (
            OptionField(
                "service_account_key",
                "Key of the service account",
                "The whole JSON file. Empty: the credentials of the service's environment.",
                "document",
            ),
            _ENDPOINT,
        ),
    ),
    FOLDER: Kind("A folder on the machine of the workers", "Folder"),
}


def url_of(fields: Fields) -> str:
    """The URL of the place that was typed.

    Raises:
        WrongFieldsError: something is missing.
    """
    kind = fields.text("kind")
    if kind not in KINDS:
        raise WrongFieldsError({"kind": "Choose what kind of store it is"})
    name = _place(kind)
    place = fields.text(name)
    if not place:
        raise WrongFieldsError({name: "This is needed"})
    if kind == FOLDER:
        if not place.startswith("/"):
            raise WrongFieldsError({name: "Begin with /: the whole path of the folder"})
        return f"file://{quote(place)}"
    return f"{kind}://{quote(place, safe='')}/{quote(fields.text(f'{kind}-prefix').strip('/'))}"


def options_of(fields: Fields) -> dict[str, str]:
    """The options that were typed, of a store that is to be registered."""
    return {name: value for name, value in _typed_options(fields).items() if value}


def change_of(fields: Fields) -> StoreChange:
    """What a store is to be; secrets that were not typed are kept, as far as that is safe.

    Raises:
        WrongFieldsError: as for `url_of`.
    """
    kinds = kinds_of(fields.text("kind"))
    typed = {name: value or None for name, value in _typed_options(fields).items() if value or not kinds[name].secret}
    return StoreChange(url_of(fields), typed, objects_moved=bool(fields.text("objects_moved")))


def url_of_new(fields: Fields) -> str:
    """As `url_of`, of a store that is to be registered by a name.

    Raises:
        WrongFieldsError: something is missing, or the name can't be one.
    """
    wrong = {} if valid_target_name(fields.text("name")) else {"name": "This can't be its name"}
    try:
        url = url_of(fields)
    except WrongFieldsError as error:
        raise WrongFieldsError({**wrong, **error.errors}) from None
    if wrong:
        raise WrongFieldsError(wrong)
    return url


def new_form() -> Typed:
    """The form of a store that is to be registered."""
    return Typed({"kind": ["s3"]})


def form_of(store: StorageResource) -> Typed:
    """The form of a store that is to be another."""
    parts = urlsplit(store.url)
    kind, path = parts.scheme, unquote(parts.path)
    shown = {"kind": kind, _place(kind): path if kind == FOLDER else parts.netloc}
    shown |= {f"{kind}-{name}": value for name, value in store.options.items()}
    if kind != FOLDER:
        shown[f"{kind}-prefix"] = path.strip("/")
    return Typed({name: [value] for name, value in shown.items()})


def form_again(fields: Fields, errors: Mapping[str, str]) -> Typed:
    """A form as it was sent, without its secrets."""
    return typed_again(fields, secrets=secret_fields(), errors=errors)


def secret_fields() -> frozenset[str]:
    """The names of the fields that nothing is drawn into."""
    return frozenset(f"{kind}-{name}" for kind in KINDS for name, each in kinds_of(kind).items() if each.secret)


def _typed_options(fields: Fields) -> dict[str, str]:
    kind = fields.text("kind")
    return {name: fields.text(f"{kind}-{name}") for name in kinds_of(kind)}


def _place(kind: str) -> str:
    return f"{kind}-place"
