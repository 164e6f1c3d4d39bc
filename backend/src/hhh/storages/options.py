"""What a store may be told beside its URL: credentials of its own, and which server it is on."""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import SplitResult, unquote, urlsplit

from hhh.core.errors import InvalidInput

Options = Mapping[str, str]
NONE: Options = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a kind of store."""

    #: Kept encrypted, and never shown.
    secret: bool = False
    #: A secret belongs to its value: once that changes, a secret that was given before must not be used any more.
    binds: bool = False


#: By the scheme of the store's URL. What is not here is refused.
OPTIONS: Mapping[str, Mapping[str, Option]] = {
    "file": {},
    "s3": {
        "access_key_id": Option(binds=True),
        "secret_access_key": Option(secret=True),
        "session_token": Option(secret=True),
        "region": Option(),
        "endpoint_url": Option(binds=True),
        "virtual_hosted_style_request": Option(),
    },
    "az": {
        "account_name": Option(binds=True),
        "account_key": Option(secret=True),
        "sas_key": Option(secret=True),
        "endpoint_url": Option(binds=True),
    },
    "gs": {"service_account_key": Option(secret=True), "endpoint_url": Option(binds=True)},
}

#: Where the tools of a store look for its server, the first that is set.
ENDPOINT_VARIABLES: Mapping[str, tuple[str, ...]] = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
}

_LONGEST = 16_384
_BOOLEANS = ("true", "false")
_ASCII = (re.compile(r"[!-~]+"), "letters, digits and signs of ASCII, without spaces")
#: What becomes a part of a host's name must not end that name; what becomes a part of a request's header and can't be
#: one, or is no credential at all, ends in a panic or in an obscure error of obstore.
_FORMS: Mapping[str, tuple[re.Pattern[str], str]] = {
    "access_key_id": _ASCII,
    "session_token": _ASCII,
    "account_key": (re.compile(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"), "base64"),
    "sas_key": (re.compile(r"\??[!-%'-<>-~]+=[!-%'-~]*(?:&[!-%'-<>-~]+=[!-%'-~]*)*"), "NAME=VALUE&NAME=VALUE…"),
    "region": (re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}"), "letters, digits and '-'"),
    "account_name": (re.compile(r"[a-z0-9]{3,24}"), "3 to 24 lower-case letters and digits"),
    "virtual_hosted_style_request": (re.compile("|".join(_BOOLEANS)), " or ".join(_BOOLEANS)),
}
_DEFAULT_PORTS = {"http": 80, "https": 443}


def kinds_of(scheme: str) -> Mapping[str, Option]:
    """The options that a kind of store takes; none for an unknown one."""
    return OPTIONS.get(scheme, {})


def has_own_credentials(options: Options) -> bool:
    """Whether nothing of the process's environment is to be used for signing in."""
    return any(name in options for name in ("access_key_id", "account_name", "service_account_key"))


def check_options(scheme: str, options: Options) -> None:
    """Refuses options that the kind of store has not, or that don't go together.

    Raises:
        InvalidInput: with the nearest right name; no value is repeated.
    """
    known = kinds_of(scheme)
    for name, value in options.items():
        if name not in known:
            raise InvalidInput(f"A store {scheme}:// has no option {name[:63]!r}", hint=_nearest(name, known))
        _check_value(name, value)
    _CHECKS[scheme](options)


def endpoint_of(scheme: str, options: Options) -> str | None:
    """The server that was named, by the store's option, or else by the environment if that is used at all."""
    if has_own_credentials(options):
        return options.get("endpoint_url")
    return next(filter(None, map(os.environ.get, ENDPOINT_VARIABLES.get(scheme, ()))), None)


def identity_of(url: SplitResult, options: Options) -> tuple[str, ...]:
    """What two names of one place have in common, as far as names tell: server, bucket and prefix, or the folder."""
    if url.scheme == "file":
        return ("file", os.path.realpath(Path(unquote(url.path))))
    endpoint = endpoint_of(url.scheme, options)
    return (url.scheme, _server(url.scheme, endpoint, options), url.netloc, unquote(url.path).strip("/"))


def _nearest(name: str, known: Mapping[str, Option]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    return f"known are {', '.join(known)}" if known else "it has none"


def _check_value(name: str, value: str) -> None:
    is_document = name == "service_account_key"
    if not value or len(value) > _LONGEST or not (value.isprintable() or is_document):
        raise InvalidInput(f"The option {name} is empty, too long, or holds a control character")
    if is_document and not _is_service_account(value):
        raise InvalidInput(f"The option {name} can't be that", hint="it is the whole JSON file of the service account")
    if name in _FORMS and not _FORMS[name][0].fullmatch(value):
        raise InvalidInput(f"The option {name} can't be that", hint=f"it is {_FORMS[name][1]}")
    if name == "endpoint_url":
        _check_endpoint(value)


def _is_service_account(document: str) -> bool:
    try:
        account = json.loads(document)
    except (ValueError, RecursionError):
        return False
    needed = ("private_key", "private_key_id", "client_email")
    return isinstance(account, dict) and all(isinstance(account.get(name), str) for name in needed)


def _check_endpoint(value: str) -> None:
    hint = "e.g. https://s3.example.com or http://10.0.0.5:9000; credentials are options of their own"
    try:
        parts = urlsplit(value)
        bad = parts.scheme not in _DEFAULT_PORTS or not parts.hostname or parts.port == 0
    except ValueError:
        bad = True
    if bad or not value.isascii() or any(sign in value for sign in "@?#\\ \n\r\t"):
        raise InvalidInput("The option endpoint_url is not the address of a server", hint=hint)


def _check_s3(options: Options) -> None:
    _all_or_none(options, "access_key_id", "secret_access_key")
    for name in ("session_token", "endpoint_url"):
        _only_with(options, name, "access_key_id")


def _check_azure(options: Options) -> None:
    given = [name for name in ("account_key", "sas_key") if name in options]
    if len(given) > 1:
        raise InvalidInput("The options account_key and sas_key are both given", hint="give one of them")
    if ("account_name" in options) != bool(given):
        raise InvalidInput(
            "The option account_name and one of account_key and sas_key belong together",
            hint="give both, or neither to use those of the environment",
        )
    _only_with(options, "endpoint_url", "account_name")


def _check_gcs(options: Options) -> None:
    _only_with(options, "endpoint_url", "service_account_key")


def _all_or_none(options: Options, *names: str) -> None:
    missing = [name for name in names if name not in options]
    if missing and len(missing) < len(names):
        raise InvalidInput(
            f"The option {missing[0]} is missing", hint="give both, or neither to use those of the environment"
        )


def _only_with(options: Options, name: str, needed: str) -> None:
    # The environment's credentials were given for another server.
    if name in options and needed not in options:
        raise InvalidInput(
            f"The option {name} is only for a store with credentials of its own", hint=f"give {needed}, too"
        )


_CHECKS: Mapping[str, Callable[[Options], None]] = {
    "file": lambda _: None,
    "s3": _check_s3,
    "az": _check_azure,
    "gs": _check_gcs,
}


def _server(scheme: str, endpoint: str | None, options: Options) -> str:
    """``host:port`` and a path; empty where the bucket's name alone says it all over the world."""
    if endpoint is None and scheme == "az":
        account = options.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
        endpoint = f"https://{account}.blob.core.windows.net"
    if endpoint is None:
        return ""
    parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
    host = (parts.hostname or "").rstrip(".")
    if host.endswith(".amazonaws.com") or host == "storage.googleapis.com":
        return ""
    return f"{host}:{parts.port or _DEFAULT_PORTS.get(parts.scheme)}{parts.path.rstrip('/')}"
