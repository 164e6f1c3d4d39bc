"""How obstore is told of a store's own options, so that nothing of the environment comes between them.

obstore (0.12) reads ``AWS_…``, ``AZURE_…`` and ``GOOGLE_…`` in any case, and what it is told goes over that name by
name only: tried here, ``AWS_ENDPOINT_URL_S3`` wins over ``endpoint``, and ``AWS_SESSION_TOKEN`` and
``AZURE_STORAGE_TOKEN`` are sent beside other keys. So a store with credentials of its own sets every one of these
names, and hands its keys over by a provider, which leaves those of the environment out.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hhh.core.errors import ConfigurationError
from hhh.storages.options import Options, endpoint_of, has_own_credentials

_DEFAULT_REGION = "us-east-1"
#: They can't be taken back by obstore's configuration, and would be sent to the store's server, or used instead of its
#: own credentials.
_NOT_BESIDE_OWN: Mapping[str, tuple[str, ...]] = {
    "s3": ("AWS_SSE_CUSTOMER_KEY_BASE64", "AWS_SSE_KMS_KEY_ID"),
    "az": ("AZURE_ENCRYPTION_KEY",),
    "gs": ("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH", "GOOGLE_BEARER_TOKEN"),
}


@dataclass(frozen=True, slots=True)
class Connection:
    """What obstore's stores are made with, beside bucket and prefix."""

    #: obstore's names; what is not here is read from the environment.
    config: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: Gives the credentials; None leaves that to obstore.
    credentials: Callable[[], Mapping[str, Any]] | None = field(default=None, repr=False)
    #: Whether the server is spoken to without TLS.
    plain_http: bool = False


def connection_to(scheme: str, bucket: str, options: Options) -> Connection:
    """What checked options mean.

    Args:
        scheme: of the store's URL, but ``file``.
        bucket: or container.
        options: as `hhh.storages.options.check_options` lets them pass.

    Raises:
        ConfigurationError: the environment holds what can't be kept apart from the store's own credentials.
    """
    plain_http = (endpoint_of(scheme, options) or "").startswith("http://")
    if not has_own_credentials(options):
        return Connection(_s3_names(options) if scheme == "s3" else {}, plain_http=plain_http)
    for name in _NOT_BESIDE_OWN[scheme]:
        if os.environ.get(name):
            raise ConfigurationError(
                f"{name} is set in the environment, and would be used for a store with credentials of its own",
                hint="take it out of the service's environment, or the credentials out of the store's options",
            )
    config, credentials = _OWN[scheme](bucket, options)
    return Connection(config, credentials, plain_http)


def _s3_names(options: Options) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if "region" in options:
        config["region"] = options["region"]
    if "virtual_hosted_style_request" in options:
        config["virtual_hosted_style_request"] = options["virtual_hosted_style_request"] == "true"
    return config


def _own_s3(bucket: str, options: Options) -> _Own:
    config = {"region": _DEFAULT_REGION, "virtual_hosted_style_request": False, **_s3_names(options)}
    endpoint = options.get("endpoint_url", f"https://s3.{config['region']}.amazonaws.com").rstrip("/")
    if config["virtual_hosted_style_request"]:
        scheme, _, host = endpoint.partition("://")
        endpoint = f"{scheme}://{bucket}.{host}"
    config |= {
        "aws_endpoint_url_s3": endpoint,
        "skip_signature": False,
        "unsigned_payload": False,
        "request_payer": False,
        "s3_express": False,
    }
    key = {
        "access_key_id": options["access_key_id"],
        "secret_access_key": options["secret_access_key"],
        "token": options.get("session_token"),
        "expires_at": None,
    }
    return config, lambda: key


def _own_azure(_container: str, options: Options) -> _Own:
    account = options["account_name"]
    config = {
        "account_name": account,
        "endpoint": options.get("endpoint_url", f"https://{account}.blob.core.windows.net"),
        "skip_signature": False,
        "use_emulator": False,
        "use_fabric_endpoint": False,
    }
    if "sas_key" in options:
        key = {"sas_token": options["sas_key"].removeprefix("?"), "expires_at": None}
    else:
        key = {"access_key": options["account_key"], "expires_at": None}
    return config, lambda: key


def _own_gcs(_bucket: str, options: Options) -> _Own:
    return {
        "service_account_key": options["service_account_key"],
        "base_url": options.get("endpoint_url", "https://storage.googleapis.com"),
        "skip_signature": False,
    }, None


_Own = tuple[dict[str, Any], Callable[[], Mapping[str, Any]] | None]
_OWN: Mapping[str, Callable[[str, Options], _Own]] = {"s3": _own_s3, "az": _own_azure, "gs": _own_gcs}
