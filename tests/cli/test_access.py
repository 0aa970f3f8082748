"""API access of the command: key, URL, tenant and log."""

import asyncio
import gc
import getpass
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from yarl import URL

from alohub_async import AlohubClient, Endpoint
from alohub_async.cli import access
from alohub_async.cli.errors import ExitCode
from alohub_async.testing import Sandbox, Status
from tests.cli.command import Alohub
from tests.http.test_proxies import Proxy, api

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
    kinds = [line.removeprefix("alohub: ").partition(":")[0] for line in outcome.err.splitlines()]
    kinds = [kind for kind in kinds if kind != "waited for the rate limit"]  # a busy machine takes a millisecond for it
    assert kinds == ["attempt finished", "retrying", "attempt finished", "call finished"]


def test_verbose_twice(alohub: Alohub) -> None:
    """`-vv` also shows each request and its answer, with the budgets and without the values of the query."""
    alohub.sandbox.fail(status=502)
    shown = re.sub(r"\[[0-9]+\]|in [0-9.]+ s", "…", alohub(*GET, "-vv").err)
    request = f"alohub: … > GET {alohub.sandbox.url.join(URL('v1/queues/inbound/1001226'))}\n"
    assert shown.count(request) == len(alohub.sandbox.requests) == 2
    assert "attempt finished" not in shown
    for answer in ("502 …", "200 …", "tenant budget: 99 of 100 requests left", "route budget: 49 of 50 requests left"):
        assert f"alohub: … < {answer}\n" in shown


@pytest.mark.parametrize("status", [429, 502])
def test_long_wait_is_reported(alohub: Alohub, monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Of a wait, stderr says why and how long, once; not with `--quiet`."""
    monkeypatch.setattr(access, "LONG_WAIT", 0.01)
    alohub.sandbox.fail(Status(status, retry_after="0.02"))
    outcome = alohub(*GET)
    assert re.fullmatch(r"alohub: \w+Error: get_inbound is retried in [0-9.]+ s\n", outcome.err)
    alohub.sandbox.fail(Status(status, retry_after="0.02"))
    assert alohub(*GET, "--quiet").err == ""


@pytest.mark.parametrize("command", [("audit",), ("export", "queues.csv", "--details")])
def test_cost_of_details_is_said_before(
    alohub: Alohub, serve: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str]
) -> None:
    """As soon as the limit is known: how many details, how fast, how long."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ALOHUB_BASE_URL", str(serve(queues=45, route_limit=40).url))
    cost = "alohub: 45 details, 4 a second: 11 s\n"
    assert alohub("queues", *command, "--deadline", "0.8").err.startswith(cost)
    assert cost not in alohub("queues", *command, "--deadline", "0.8", "--quiet").err


# Proxies and certificates


async def test_authority_of_a_file(alohub: Alohub, certificate: Path) -> None:
    """`--ca-file` names whom to trust; without it, a certificate of one's own is refused."""
    async with api(certificate) as (url, came):
        refused = await asyncio.to_thread(alohub, *GET, "--base-url", url)
        assert (refused.code, came) == (ExitCode.FAILED, [])
        assert refused.error.endswith("file: --ca-file FILE, or the environment variable SSL_CERT_FILE")
        outcome = await asyncio.to_thread(alohub, *GET, "--base-url", url, "--ca-file", str(certificate))
        assert (outcome.code, len(came)) == (0, 1)


def test_file_without_authorities(alohub: Alohub, tmp_path: Path) -> None:
    """The message names the option."""
    outcome = alohub(*GET, "--ca-file", str(tmp_path / "none.pem"))
    assert outcome.code == ExitCode.USAGE
    assert outcome.error.startswith("--ca-file must name a PEM file")


# aiohttp 3.12.0 leaves the end of a connection through TLS to the event loop, so it is collected here.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("by_name", [False, True])
async def test_proxy_and_authorities_of_the_environment(
    alohub: Alohub, certificate: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *, by_name: bool
) -> None:
    """`HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE` are honoured, also for a tenant of a file."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    options = ("--tenants", str(tmp_path / "tenants.toml"), "--tenant", "an") if by_name else ()
    async with api(certificate) as (url, came), Proxy(credentials="an:word") as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://an:word@127.0.0.1:{proxy.port}")
        monkeypatch.setenv("ALOHUB_BASE_URL", url)
        table = f'[tenants.an]\napi_key_env = "ALOHUB_API_KEY"\nbase_url = "{url}"'
        (tmp_path / "tenants.toml").write_text(table, encoding="utf-8")
        for excluded, tunnels in (("other.example", 1), ("localhost", 1)):
            monkeypatch.setenv("NO_PROXY", excluded)
            assert (await asyncio.to_thread(alohub, *GET, *options)).code == 0
            assert len(proxy.heads) == tunnels
    assert len(came) == 2
    gc.collect()


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
