"""Options of stores: which there are, which go together, and when two stores are one place."""

from pathlib import Path

import pytest

from hhh.core.errors import ConfigurationError, InvalidInput
from hhh.storages.connections import connection_to
from hhh.storages.options import OPTIONS
from hhh.storages.registry import identity, open_storage

KEY = {"access_key_id": "key", "secret_access_key": "s3cret"}
ACCOUNT = {"account_name": "acct", "account_key": "czNjcmV0"}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("s3://b", KEY),
        (
            "s3://b",
            {
                **KEY,
                "secret_access_key": "with spaces, ünd more",
                "session_token": "t",
                "region": "eu-west-1",
                "endpoint_url": "http://10.0.0.5:9000/s3",
            },
        ),
        ("s3://b", {"region": "eu-west-1"}),
        ("az://c", ACCOUNT),
        (
            "az://c",
            {
                "account_name": "acct",
                "sas_key": "?sv=1&se=2030-01-01T00:00:00Z&sig=x%2B/y==",
                "endpoint_url": "https://az.example.com",
            },
        ),
        ("file:///folder", {}),
    ],
)
def test_what_goes_together_opens_a_store(url: str, options: dict[str, str]) -> None:
    assert open_storage(url, options=options).address.startswith(url)


@pytest.mark.parametrize(
    ("url", "options", "saying"),
    [
        ("s3://b", {"acces_key": "s3cret"}, "did you mean access_key_id"),
        ("s3://b", {"zzz": "s3cret"}, "known are access_key_id"),
        ("file:///f", {"region": "s3cret"}, "it has none"),
        ("az://c", KEY, "no option 'access_key_id'"),
        ("s3://b", {"access_key_id": "key"}, "secret_access_key is missing"),
        ("s3://b", {"session_token": "s3cret", "region": "x"}, "give access_key_id, too"),
        ("s3://b", {"endpoint_url": "https://evil.example.com"}, "credentials of its own"),
        ("s3://b", {**KEY, "region": "x.evil.example.com/"}, "region can't be that"),
        ("s3://b", {**KEY, "virtual_hosted_style_request": "yes"}, "true or false"),
        ("s3://b", {**KEY, "secret_access_key": "s3\0cret"}, "control character"),
        ("s3://b", {**KEY, "secret_access_key": ""}, "is empty"),
        ("s3://b", {**KEY, "secret_access_key": "s3cret" * 9999}, "too long"),
        ("s3://b", {**KEY, "session_token": "s3cret\n"}, "control character"),
        ("s3://b", {**KEY, "session_token": "s3crét"}, "session_token can't be that"),
        ("s3://b", {**KEY, "access_key_id": "s3cret key"}, "access_key_id can't be that"),
        ("az://c", {**ACCOUNT, "account_key": "s3cret!"}, "it is base64"),
        ("az://c", {"account_name": "acct", "sas_key": "s3cret"}, "sas_key can't be that"),
        ("gs://b", {"service_account_key": "s3cret"}, "whole JSON file"),
        ("gs://b", {"service_account_key": '["s3cret"]'}, "whole JSON file"),
        ("gs://b", {"service_account_key": '{"private_key": "s3cret"}'}, "whole JSON file"),
        ("az://c", {"account_name": "acct"}, "belong together"),
        ("az://c", {**ACCOUNT, "sas_key": "sig=s3cret"}, "both given"),
        ("az://c", {**ACCOUNT, "account_name": "evil.example.com/"}, "account_name can't be that"),
        ("gs://b", {"endpoint_url": "https://evil.example.com"}, "credentials of its own"),
    ],
)
def test_what_does_not_is_refused_without_repeating_it(url: str, options: dict[str, str], saying: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        open_storage(url, options=options)
    assert saying in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint",
    [
        "s3.example.com",
        "ftp://h",
        "https://",
        "https://u:s3cret@h",
        "https://h?x=1",
        "https://h#x",
        "https://h:x",
        "https://h i",
    ],
)
def test_endpoints_that_are_none_are_refused(endpoint: str) -> None:
    with pytest.raises(InvalidInput, match="endpoint_url is not the address") as refused:
        open_storage("s3://b", options={**KEY, "endpoint_url": endpoint})
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("scheme", "variable", "options"),
    [
        ("s3", "AWS_SSE_CUSTOMER_KEY_BASE64", KEY),
        ("az", "AZURE_ENCRYPTION_KEY", ACCOUNT),
        ("gs", "GOOGLE_BEARER_TOKEN", {"service_account_key": "{}"}),
    ],
)
def test_what_of_the_environment_can_not_be_kept_apart_is_told(
    scheme: str, variable: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection_to(scheme, "b", options)
    monkeypatch.setenv(variable, "of-the-environment")
    with pytest.raises(ConfigurationError, match=variable):
        connection_to(scheme, "b", options)
    connection_to(scheme, "b", {})


def test_no_secret_is_in_a_repr() -> None:
    assert "s3cret" not in repr(connection_to("s3", "b", KEY))
    assert {name for kind in OPTIONS.values() for name, option in kind.items() if option.secret} == {
        "secret_access_key",
        "session_token",
        "account_key",
        "sas_key",
        "service_account_key",
    }


def test_one_place_is_known_by_its_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def own(endpoint: str) -> dict[str, str]:
        return {**KEY, "endpoint_url": endpoint}

    assert identity("s3://b/p", own("https://S3.example.com:443/")) == identity(
        "s3://b/p/", own("https://s3.example.com")
    )
    assert identity("s3://b", KEY) == identity("s3://b", own("https://s3.eu-west-1.amazonaws.com"))
    assert identity("s3://b", KEY) != identity("s3://b", own("https://s3.example.com"))
    assert identity("s3://b/p") != identity("s3://b/q")
    assert identity("s3://b/p") != identity("s3://b/p/q")
    assert identity("az://c", ACCOUNT) != identity("az://c", {**ACCOUNT, "account_name": "other"})
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://10.0.0.5:9000")
    assert identity("s3://b") == identity("s3://b", own("http://10.0.0.5:9000"))
    assert identity("s3://b", KEY) != identity("s3://b")
    (tmp_path / "link").symlink_to(tmp_path)
    assert identity(f"file://{tmp_path}/link/a%20b") == identity(f"file://{tmp_path}/a%20b/")
