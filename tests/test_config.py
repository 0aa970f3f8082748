"""Endpoint, timeouts, client configuration and environment: what is refused, and the error messages."""

import copy
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from yarl import URL

from alohub_async import UNSET, AlohubClient
from alohub_async.config import Endpoint, EnvironmentSettings, check_header_value, read_environment
from alohub_async.errors import ConfigurationError, InvalidArgumentError, InvalidArgumentTypeError
from alohub_async.http.timeouts import Timeouts
from alohub_async.options import CallOptions
from tests.twins import pickled

KEY = "sk_live_0123456789"


# Endpoint


def test_gateways_carry_the_key_in_x_api_key() -> None:
    """Production and development are the vendor's hosts, with X-Api-Key and the tenant header."""
    production, development = Endpoint.production(), Endpoint.development()
    assert str(production.base_url) == "https://xapi.alohub.vn/"
    assert str(development.base_url) == "https://xapi-dev.alohub.vn/"
    assert {production.key_header, development.key_header} == {"x-api-key"}
    assert production.send_tenant
    assert development.send_tenant


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://backend.example", "https://backend.example/api"),
        ("https://backend.example/", "https://backend.example/api"),
        ("https://backend.example/api", "https://backend.example/api"),
        ("https://backend.example/api/", "https://backend.example/api"),
        ("https://backend.example:8443/alohub", "https://backend.example:8443/alohub/api"),
        ("https://backend.example/myapi", "https://backend.example/myapi/api"),
        ("https://backend.example/a%2Fb", "https://backend.example/a%2Fb/api"),
        (URL("https://backend.example"), "https://backend.example/api"),
    ],
)
def test_direct_endpoint_adds_the_prefix_once(url: str | URL, base: str) -> None:
    """The backend is requested under /api with the bare key in Authorization and no tenant header."""
    endpoint = Endpoint.direct(url)
    assert str(endpoint.base_url) == base
    assert endpoint.key_header == "authorization"
    assert not endpoint.send_tenant


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("https://proxy.example/alohub/", "https://proxy.example/alohub"),
        ("HTTPS://Proxy.Example", "https://proxy.example/"),
        ("https://proxy.example/a%2Fb", "https://proxy.example/a%2Fb"),
        ("https://proxy.example/đ", "https://proxy.example/%C4%91"),
        ("https://ví-dụ.vn", "https://xn--v-d-rma6749a.vn/"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443/"),
    ],
)
def test_any_base_url_is_kept_as_given(url: str, base: str) -> None:
    """Host, port and path are the user's, including an escaped slash; only a trailing slash is removed."""
    assert str(Endpoint(url).base_url) == base


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8080", "http://api.localhost", "http://127.0.0.1", "http://127.8.8.8/x", "http://[::1]:80"],
)
def test_plain_http_to_this_machine_is_allowed(url: str) -> None:
    """A sandbox on the loopback interface needs no TLS."""
    assert Endpoint(url).base_url.scheme == "http"
    assert Endpoint.direct(url).base_url.scheme == "http"


@pytest.mark.parametrize(
    "host",
    ["xapi.alohub.vn", "10.0.0.5", "0.0.0.0", "localhost.evil.example", "evillocalhost", "127.0.0.1.evil.example"],  # noqa: S104  (refused here)
)
@pytest.mark.parametrize("make", [Endpoint, Endpoint.direct], ids=["any", "direct"])
def test_plain_http_elsewhere_needs_allow_http(make: Callable[..., Endpoint], host: str) -> None:
    """The key would be sent unencrypted, so the message names the host and how to allow it."""
    with pytest.raises(ConfigurationError, match="allow_http=True") as caught:
        make(f"http://{host}")
    assert host in str(caught.value)
    assert make(f"http://{host}", allow_http=True).base_url.host == host


@pytest.mark.parametrize(
    "url",
    [
        *("", "xapi.alohub.vn", "ftp://xapi.alohub.vn", "https://", "https:///v1", "//xapi.alohub.vn", "/v1"),
        *("https://xapi .alohub.vn", "https://xapi.alohub.vn ", "https://xapi.alohub.vn:99999"),
        *(None, 3, b"https://xapi.alohub.vn", [], URL("/v1")),
    ],
)
def test_invalid_base_url_is_refused(url: Any) -> None:
    """The message shows a valid base URL."""
    with pytest.raises(ConfigurationError, match=r"base_url .*https://"):
        Endpoint(url)
    with pytest.raises(ConfigurationError, match="base_url"):
        Endpoint.direct(url)


@pytest.mark.parametrize("url", ["https://host/?key={}", "https://host/#{}", "https://host/v1?{}=1#x"])
def test_base_url_with_a_query_is_refused_and_not_shown(url: str) -> None:
    """A query would be lost or sent twice, and it may contain the key."""
    with pytest.raises(ConfigurationError, match="without '\\?' or '#'") as caught:
        Endpoint(url.format(KEY))
    assert KEY not in str(caught.value)
    assert "https://host/" in str(caught.value)


@pytest.mark.parametrize("url", ["https://user:{}@host", "https://{}@host", "https://:{}@host", "ftp://u:{}@host"])
def test_base_url_with_credentials_is_refused_and_not_shown(url: str) -> None:
    """A password in the URL would end up in logs; the message names the option for the key."""
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        Endpoint(url.format(KEY))
    assert KEY not in str(caught.value)


def test_unknown_key_header_is_refused_with_the_choices() -> None:
    """The message has the given value and the allowed ones."""
    header: Any = "bearer"
    with pytest.raises(ConfigurationError, match=r"'x-api-key', 'authorization', 'both'.*'bearer' was given"):
        Endpoint("https://host", key_header=header)


def test_endpoints_are_values() -> None:
    """They compare, hash, pickle and copy, are immutable, and `attrs.evolve` validates like the constructor."""
    endpoint = Endpoint("https://host/base", key_header="both", send_tenant=False)
    assert endpoint == pickled(endpoint) == copy.deepcopy(endpoint)
    assert len({endpoint, Endpoint("https://host/base/", key_header="both", send_tenant=False)}) == 1
    field = "key_header"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(endpoint, field, "x-api-key")
    with pytest.raises(ConfigurationError):
        attrs.evolve(endpoint, base_url="http://elsewhere.example")


# Timeouts and deadline

NOT_SECONDS: list[Any] = [0, -1, -0.5, float("nan"), float("inf"), 10**400, True, "3", None, [], 1j]


@pytest.mark.parametrize("name", ["connect", "read", "total"])
@pytest.mark.parametrize("value", NOT_SECONDS, ids=lambda value: f"{value!r:.9}")
def test_timeout_that_is_not_a_positive_number_is_refused(name: str, value: Any) -> None:
    """The message names the timeout and the given value."""
    with pytest.raises(ConfigurationError, match=rf"{name} must be a number of seconds above 0.*was given"):
        Timeouts(**{name: value})


def test_timeouts_take_ints_and_floats() -> None:
    """Whole and fractional seconds are kept as given; the others have their default."""
    timeouts = Timeouts(connect=1, read=0.25)
    assert (timeouts.connect, timeouts.read, timeouts.total) == (1, 0.25, 60.0)


@pytest.mark.parametrize("value", [*(v for v in NOT_SECONDS if v is not None), {}], ids=lambda value: f"{value!r:.9}")
def test_deadline_that_is_not_a_positive_number_is_refused(value: Any) -> None:
    """A deadline is an argument of calls, so the error is an `InvalidArgumentError`."""
    with pytest.raises(InvalidArgumentError, match=r"deadline must be .*was given"):
        CallOptions(deadline=value)


@pytest.mark.parametrize("value", [True, "3", [], 1j])
def test_deadline_of_another_type_is_a_type_error_too(value: Any) -> None:
    """`except TypeError` catches it as well."""
    with pytest.raises(InvalidArgumentTypeError):
        CallOptions(deadline=value)


def test_deadline_may_be_left_out_or_a_number() -> None:
    """None means no deadline, and `UNSET` the client's."""
    assert CallOptions(deadline=None).deadline is None
    assert CallOptions(deadline=3).deadline == 3
    assert CallOptions().deadline is UNSET


# Client configuration


def _client(**changes: Any) -> AlohubClient:
    return AlohubClient(changes.pop("api_key", KEY), **changes)


HEADER_UNFIT = [
    "",
    " ",
    "{} ",
    " {}",
    "{}\n",
    "{}\r\nX-Evil: 1",
    "{}\t",
    "{}\0",
    "{}\x7f",
    "{}é",
    "{}\ud800",
    "\u200b{}",
]


@pytest.mark.parametrize("name", ["api_key", "tenant_id", "user_agent"])
@pytest.mark.parametrize("text", HEADER_UNFIT, ids=ascii)
def test_invalid_header_value_is_refused_and_not_shown(name: str, text: str) -> None:
    """Line breaks could inject headers; the message names the field and never shows the value."""
    with pytest.raises(ConfigurationError, match=f"{name} must be printable ASCII") as caught:
        _client(**{name: text.format(KEY)})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("name", ["api_key", "tenant_id", "user_agent"])
@pytest.mark.parametrize("value", [7, KEY.encode(), [KEY]], ids=["int", "bytes", "list"])
def test_header_value_of_another_type_is_refused_and_not_shown(name: str, value: Any) -> None:
    """The message has only the type, because the value may be the key."""
    with pytest.raises(
        ConfigurationError, match=f"{name} must be a string; {type(value).__name__} was given"
    ) as caught:
        _client(**{name: value})
    assert KEY not in str(caught.value)


def test_tenant_is_optional_and_the_key_may_be_a_function() -> None:
    """None leaves the tenant to the gateway; a key provider is not called when the client is made."""
    calls: list[int] = []

    def provide() -> str:
        calls.append(1)
        return KEY

    assert _client(tenant_id=None, api_key=provide).tenant_id is None
    assert not calls


def test_key_is_required() -> None:
    """None is not accepted as a key."""
    with pytest.raises(ConfigurationError, match="api_key must be a string; NoneType was given"):
        _client(api_key=None)


def test_configuration_never_prints_the_key() -> None:
    """The reprs of the client and the environment settings do not contain the key."""
    assert KEY not in f"{_client()!r}{_client()}"
    assert KEY not in repr(read_environment({"ALOHUB_API_KEY": KEY}))


def test_header_value_is_returned_as_given() -> None:
    """Inner spaces are allowed."""
    assert check_header_value("user_agent", "my app/1.0 (team telephony)") == "my app/1.0 (team telephony)"


# Environment


@pytest.mark.parametrize(
    ("environ", "settings"),
    [
        ({}, (None, None, None)),
        ({"ALOHUB_API_KEY": "", "ALOHUB_TENANT_ID": "", "ALOHUB_BASE_URL": "", "ALOHUB_ENV": ""}, (None, None, None)),
        ({"ALOHUB_API_KEY": KEY, "ALOHUB_TENANT_ID": "7"}, (KEY, "7", None)),
        ({"ALOHUB_ENV": "production"}, (None, None, Endpoint.production())),
        ({"ALOHUB_ENV": "development"}, (None, None, Endpoint.development())),
        ({"ALOHUB_BASE_URL": "https://h/x"}, (None, None, Endpoint("https://h/x"))),
        ({"ALOHUB_BASE_URL": "https://h/x", "ALOHUB_ENV": "development"}, (None, None, Endpoint("https://h/x"))),
        ({"OTHER": "1"}, (None, None, None)),
    ],
)
def test_environment_is_read(environ: dict[str, str], settings: tuple[str | None, str | None, Endpoint | None]) -> None:
    """Empty variables are ignored; a base URL takes precedence over the name of an environment."""
    assert _values(read_environment(environ)) == settings


def _values(settings: EnvironmentSettings) -> tuple[str | None, str | None, Endpoint | None]:
    key = settings.api_key
    return None if key is None else key.revealed, settings.tenant_id, settings.endpoint


@pytest.mark.parametrize("environment", ["staging", "Production", " production"])
def test_unknown_environment_is_refused_with_the_choices(environment: str) -> None:
    """A misspelt name is an error even if a base URL takes precedence."""
    with pytest.raises(
        ConfigurationError, match=r"ALOHUB_ENV must be one of \('production', 'development'\)"
    ) as caught:
        read_environment({"ALOHUB_ENV": environment, "ALOHUB_BASE_URL": "https://h"})
    assert repr(environment) in str(caught.value)


@pytest.mark.parametrize("url", ["http://xapi.alohub.vn", "xapi.alohub.vn", "https://h?x=1"])
def test_base_url_of_the_environment_is_checked(url: str) -> None:
    """What `Endpoint` refuses is refused here."""
    with pytest.raises(ConfigurationError):
        read_environment({"ALOHUB_BASE_URL": url})


def test_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, os.environ is read."""
    monkeypatch.setenv("ALOHUB_API_KEY", KEY)
    monkeypatch.setenv("ALOHUB_ENV", "development")
    monkeypatch.delenv("ALOHUB_BASE_URL", raising=False)
    monkeypatch.delenv("ALOHUB_TENANT_ID", raising=False)
    assert _values(read_environment()) == (KEY, None, Endpoint.development())
