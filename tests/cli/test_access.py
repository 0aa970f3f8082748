"""API access of the command: key, URL, tenant and log."""

import getpass
import sys
from collections.abc import Callable

import pytest

from alohub_async import AlohubClient, Endpoint
from alohub_async.cli.errors import ExitCode
from alohub_async.testing import Sandbox
from tests.cli.command import Alohub

GET = ("queues", "get", "1001226")


class _Terminal:
    def isatty(self) -> bool:
        return True


@pytest.fixture(name="endpoints")
def _endpoints(monkeypatch: pytest.MonkeyPatch) -> list[Endpoint]:
    """The endpoints of the clients that the command makes; entering one ends the command."""
    seen: list[Endpoint] = []

    async def enter(client: AlohubClient) -> None:
        seen.append(client.endpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr(AlohubClient, "__aenter__", enter)
    return seen


def test_no_key(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key and without a terminal, the error explains what to do."""
    monkeypatch.delenv("ALOHUB_API_KEY")
    outcome = alohub(*GET)
    assert outcome.code == ExitCode.DENIED
    assert "set ALOHUB_API_KEY" in outcome.error


def test_the_command_prompts_for_the_key(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the command prompts for the key without showing it."""

    def ask(prompt: str, *, stream: object) -> str:
        assert prompt == "Alohub API key: "
        assert stream is sys.stderr
        return f" {alohub.sandbox.api_key} "

    monkeypatch.setenv("ALOHUB_API_KEY", "")
    monkeypatch.setattr(sys, "stdin", _Terminal())
    monkeypatch.setattr(getpass, "getpass", ask)
    assert alohub(*GET).code == 0


@pytest.mark.parametrize("answer", ["", EOFError()])
def test_no_key_is_given(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, answer: str | EOFError) -> None:
    """An empty answer, or end of file, is not a key."""

    def ask(*_: object, **__: object) -> str:
        if isinstance(answer, EOFError):
            raise answer
        return answer

    monkeypatch.delenv("ALOHUB_API_KEY")
    monkeypatch.setattr(sys, "stdin", _Terminal())
    monkeypatch.setattr(getpass, "getpass", ask)
    assert alohub(*GET).code == ExitCode.DENIED


def test_the_tenant(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The option overrides the tenant of the environment."""
    monkeypatch.setenv("ALOHUB_TENANT_ID", alohub.sandbox.tenant_id)
    assert alohub(*GET).code == 0
    assert alohub(*GET, "--tenant-id", "other").code == ExitCode.DENIED
    assert [request.headers["X-Tenant-ID"] for request in alohub.sandbox.requests] == [
        alohub.sandbox.tenant_id,
        "other",
    ]


def test_direct(alohub: Alohub) -> None:
    """`--direct` uses the path prefix and the header of the backend."""
    assert alohub(*GET, "--direct").code == 0
    (request,) = alohub.sandbox.requests
    assert request.path == "/api/v1/queues/inbound/1001226"
    assert request.headers["Authorization"] == alohub.sandbox.api_key


def test_an_option_overrides_its_variable(alohub: Alohub, serve: Callable[..., Sandbox]) -> None:
    """`--base-url` overrides `ALOHUB_BASE_URL`."""
    other = serve(queues=1)
    assert alohub(*GET, "--base-url", str(other.url)).code == 0
    assert (len(alohub.sandbox.requests), len(other.requests)) == (0, 1)


@pytest.mark.parametrize(
    ("base_url", "env", "options", "expected"),
    [
        ("", "", (), Endpoint.production()),
        ("", "development", (), Endpoint.development()),
        ("https://a.example", "development", (), Endpoint("https://a.example")),
        ("https://a.example", "", ("--env", "development"), Endpoint.development()),
        ("https://a.example", "development", ("--env", "production"), Endpoint.production()),
        ("https://a.example", "", ("--direct",), Endpoint.direct("https://a.example")),
        ("http://a.example", "", ("--allow-http",), Endpoint("http://a.example", allow_http=True)),
        (
            "",
            "",
            ("--base-url", "http://a.example", "--direct", "--allow-http"),
            Endpoint.direct("http://a.example", allow_http=True),
        ),
    ],
)
def test_the_endpoint(
    alohub: Alohub,
    *,
    endpoints: list[Endpoint],
    monkeypatch: pytest.MonkeyPatch,
    base_url: str,
    env: str,
    options: tuple[str, ...],
    expected: Endpoint,
) -> None:
    """Options override variables, and a base URL overrides an environment; the default is production."""
    monkeypatch.setenv("ALOHUB_BASE_URL", base_url)
    monkeypatch.setenv("ALOHUB_ENV", env)
    alohub(*GET, *options)
    assert endpoints == [expected]


@pytest.mark.parametrize(
    ("base_url", "env", "options", "message"),
    [
        ("", "", ("--direct",), "--direct needs the URL of the backend"),
        ("", "", ("--base-url", "https://a.example", "--env", "production"), "either --base-url or --env"),
        ("http://a.example", "", (), "--allow-http"),
        ("", "staging", (), "ALOHUB_ENV must be one of"),
        ("", "", ("--sandbox", "--tenant-id", "1"), "leave out --base-url, --env and --tenant-id"),
        ("", "", ("--sandbox", "--env", "production"), "leave out"),
        ("", "", ("--sandbox", "--base-url", "https://a.example"), "leave out"),
    ],
)
def test_contradicting_settings(
    alohub: Alohub,
    *,
    endpoints: list[Endpoint],
    monkeypatch: pytest.MonkeyPatch,
    base_url: str,
    env: str,
    options: tuple[str, ...],
    message: str,
) -> None:
    """Settings that contradict each other are refused with a message of one line."""
    monkeypatch.setenv("ALOHUB_BASE_URL", base_url)
    monkeypatch.setenv("ALOHUB_ENV", env)
    outcome = alohub(*GET, *options)
    assert outcome.code == ExitCode.USAGE
    assert message in outcome.error
    assert endpoints == []


def test_retries(alohub: Alohub) -> None:
    """`--retries` limits the retries of a failed request."""
    alohub.sandbox.fail(next=None, status=502)
    assert alohub(*GET, "--retries", "1").code == ExitCode.FAILED
    assert len(alohub.sandbox.requests) == 2


def test_verbose(alohub: Alohub) -> None:
    """`--verbose` logs requests and retries on stderr; stdout is unchanged."""
    plain = alohub(*GET)
    alohub.sandbox.fail(status=502)
    outcome = alohub(*GET, "--verbose")
    assert outcome.out == plain.out
    assert plain.err == ""
    assert "alohub: GET /v1/queues/inbound/1001226: HTTP 502, attempt 1\n" in outcome.err
    assert "retrying in" in outcome.err


def test_the_client_is_closed(alohub: Alohub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is closed, even after a failure."""
    closed: list[AlohubClient] = []
    close = AlohubClient.aclose

    async def aclose(client: AlohubClient) -> None:
        closed.append(client)
        await close(client)

    monkeypatch.setattr(AlohubClient, "aclose", aclose)
    alohub.sandbox.fail(status=404)
    alohub(*GET)
    assert len(closed) == 1
