"""Proxies and certificates of a client: given, or from the environment; a proxy never gets the key."""

import asyncio
import base64
import ssl
import traceback
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

import aiohttp
import pytest
from attrs import define, field
from yarl import URL

from alohub_async import AlohubClient, AlohubPool, APIConnectionError, ConfigurationError, Endpoint, RetryPolicy, Tenant
from alohub_async.http.network import network_of, read_proxy
from alohub_async.testing import Sandbox
from tests.support import CALLS, FIRST, QUEUE, http

KEY: Final = "sk_live_0123456789abcdef"
WORD: Final = "pä ss/wörd"
ONCE: Final = RetryPolicy(max_retries=0)
VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@define(eq=False)
class Proxy:
    """A proxy on 127.0.0.1 that makes tunnels to this machine, whatever host is asked for.

    Attributes:
        context: Its own certificate, if it is reached by TLS.
        credentials: User and password that it asks for, if any.
        heads: The heads of the requests that came.
        carried: All that went through its tunnels to the server.
    """

    context: ssl.SSLContext | None = None
    credentials: str | None = None
    heads: list[str] = field(init=False, factory=list[str])
    carried: bytearray = field(init=False, factory=bytearray)
    _server: asyncio.Server | None = field(init=False, default=None)

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.context)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head)
        method, target, _ = head.split(" ", 2)
        wanted = None if self.credentials is None else base64.b64encode(self.credentials.encode()).decode()
        if method != "CONNECT" or (wanted is not None and f"Proxy-Authorization: Basic {wanted}\r\n" not in head):
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(self._pump(reader, up_writer, keep=True), self._pump(up_reader, writer))

    async def _pump(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, *, keep: bool = False) -> None:
        try:
            while data := await source.read(65536):
                if keep:
                    self.carried += data
                to.write(data)
        except OSError:
            pass  # one side is gone
        finally:
            to.close()


@asynccontextmanager
async def api(pem: Path) -> AsyncGenerator[tuple[str, list[str]]]:
    """The API by TLS at a name of its own: its URL, and the heads of the requests that came."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pem)
    came: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                came.append(head.decode())
                writer.write(http(QUEUE))
        except asyncio.IncompleteReadError:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://localhost:{server.sockets[0].getsockname()[1]}", came
        await asyncio.sleep(0)
        server.close()


async def get(url: str, **options: Any) -> None:
    """One request."""
    async with AlohubClient(KEY, endpoint=url, retry=ONCE, **options) as client:
        assert (await client.queues.get_inbound(FIRST)).id == FIRST
        await client.queues.get_inbound(FIRST)


def trusting(certificate: Path) -> ssl.SSLContext:
    """A context for that certificate."""
    return ssl.create_default_context(cafile=certificate)


def shown(error: BaseException) -> str:
    """All that a report of an error may show: messages, causes, and the variables of the package's frames."""
    texts = [repr(error), str(error), *traceback.format_exception(error)]
    trace = error.__traceback__
    while trace is not None:
        if "alohub_async" in trace.tb_frame.f_code.co_filename:
            texts += [repr(value) for value in trace.tb_frame.f_locals.values()]
        trace = trace.tb_next
    return "\n".join(texts)


# Proxies


async def test_requests_go_through_the_proxy(certificate: Path) -> None:
    """As a tunnel that is used again; neither its head nor what it carries has the key."""
    async with api(certificate) as (url, came), Proxy() as proxy:
        await get(url, proxy=f"http://127.0.0.1:{proxy.port}", ssl=certificate)
    assert len(came) == 2
    assert all(f"X-Api-Key: {KEY}" in head for head in came)
    [head] = proxy.heads
    assert head.startswith(f"CONNECT {URL(url).authority} HTTP/1.1")
    assert len(proxy.carried) > 500
    for seen in (head.encode(), proxy.carried):
        assert b"sk_live" not in seen
        assert b"api-key" not in seen.lower()


@pytest.mark.parametrize("given", [str, URL], ids=["text", "URL"])
async def test_credentials_go_to_the_proxy_alone(certificate: Path, given: Callable[[URL], Any]) -> None:
    """With any characters in them."""
    async with api(certificate) as (url, came), Proxy(credentials=f"an:{WORD}") as proxy:
        address = URL.build(scheme="http", user="an", password=WORD, host="127.0.0.1", port=proxy.port)
        await get(url, proxy=given(address), ssl=certificate)
    assert len(came) == 2
    assert not any("Proxy-Authorization" in head for head in came)


async def test_proxy_may_be_reached_by_tls(certificate: Path) -> None:
    """Then what the client trusts holds for the proxy as well."""
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(certificate)
    async with api(certificate) as (url, came), Proxy(own) as proxy:
        await get(url, proxy=f"https://localhost:{proxy.port}", ssl=certificate)
    assert len(came) == 2
    assert [head.split()[0] for head in proxy.heads] == ["CONNECT"]


@pytest.mark.parametrize("call", CALLS)
async def test_refusal_shows_no_credentials(certificate: Path, call: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the error nor the log nor the client has the password, plain or encoded."""
    caplog.set_level("DEBUG")
    async with api(certificate) as (url, came), Proxy(credentials="other:one") as proxy:
        address = f"http://an:0therPassw0rd@127.0.0.1:{proxy.port}"
        async with AlohubClient(KEY, endpoint=url, proxy=address, ssl=certificate, retry=ONCE) as client:
            with pytest.raises(APIConnectionError, match=r"the proxy refuses to connect to localhost: HTTP 407") as c:
                await CALLS[call](client)
            texts = [shown(c.value), repr(client), repr(vars(client)), caplog.text]
    encoded = base64.b64encode(b"an:0therPassw0rd").decode()
    for text in texts:
        assert "0therPassw0rd" not in text
        assert encoded not in text
    assert not came


async def test_proxy_that_is_gone_shows_no_credentials() -> None:
    """The error of a connection that fails names the proxy at most."""
    address = "http://an:0therPassw0rd@127.0.0.1:9"
    async with AlohubClient(KEY, endpoint="https://api.example", proxy=address, retry=ONCE) as client:
        with pytest.raises(APIConnectionError, match=r"no connection to api\.example") as caught:
            await client.queues.get_inbound(FIRST)
    assert "0therPassw0rd" not in shown(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        *("proxy.example:3128", "proxy.example", "//proxy.example:1", "", "http://", "http:///x", "http://h:99999"),
        *("socks5://an:0therPassw0rd@h:1", "ftp://h", "http://h/0therPassw0rd.pac", "http://h?0therPassw0rd"),
        *("http://h#x", "http://a%3Ab:0therPassw0rd@h:1", 5, b"http://h", True, ["http://h"]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("make", [AlohubClient, AlohubClient.from_env], ids=["class", "from_env"])
def test_what_is_no_proxy_is_refused(make: Any, given: Any) -> None:
    """Before anything is sent, and without showing what was given."""
    with pytest.raises(ConfigurationError, match="proxy must be a URL of http") as caught:
        make(KEY, proxy=given)
    error = caught.value
    error.__traceback__ = error.__traceback__ and error.__traceback__.tb_next  # without the frame of this test
    assert "0therPassw0rd" not in shown(error)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", Endpoint("http://api.example", allow_http=True)])
def test_http_through_a_proxy_is_refused(endpoint: Any) -> None:
    """The proxy would see the key."""
    with pytest.raises(ConfigurationError, match="it would see the key"):
        AlohubClient(KEY, endpoint=endpoint, proxy="http://proxy.example:3128")


@pytest.mark.parametrize(
    "option",
    [{"proxy": "http://h:1"}, {"trust_env": True}, {"ssl": ssl.create_default_context()}],
    ids=lambda o: next(iter(o)),
)
async def test_session_has_its_own_proxies_and_certificates(option: Any) -> None:
    """Both together is an error."""
    async with aiohttp.ClientSession() as session:
        with pytest.raises(ConfigurationError, match="a session has its own proxies and certificates"):
            AlohubClient(KEY, session=session, **option)


async def test_copies_use_the_same_proxy(certificate: Path) -> None:
    """`with_options` changes nothing of it."""
    async with (
        api(certificate) as (url, came),
        Proxy() as proxy,
        AlohubClient(KEY, endpoint=url, proxy=f"http://127.0.0.1:{proxy.port}", ssl=certificate) as client,
    ):
        await client.with_options(deadline=30).queues.get_inbound(FIRST)
    assert (len(came), len(proxy.heads)) == (1, 1)


# The environment


async def test_environment_is_used_only_if_trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is read once: what it says later changes nothing."""
    async with api(certificate) as (url, came), Proxy(credentials=f"an:{WORD}") as proxy:
        address = URL.build(scheme="http", user="an", password=WORD, host="127.0.0.1", port=proxy.port)
        monkeypatch.setenv("HTTPS_PROXY", str(address))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        await get(url, ssl=certificate)
        assert not proxy.heads
        async with AlohubClient(KEY, endpoint=url, trust_env=True, retry=ONCE) as client:
            for name in VARIABLES:
                monkeypatch.delenv(name, raising=False)
            await client.queues.get_inbound(FIRST)
    assert (len(came), len(proxy.heads)) == (3, 1)


PROXY: Final = "http://proxy.example:3128"


@pytest.mark.parametrize(
    ("variables", "server", "expected"),
    [
        ({"HTTPS_PROXY": PROXY}, "https://api.example", PROXY),
        ({"https_proxy": PROXY}, "https://api.example", PROXY),
        ({"HTTPS_PROXY": "proxy.example:3128"}, "https://api.example", PROXY),
        ({"HTTPS_PROXY": f"{PROXY}/"}, "https://api.example", f"{PROXY}/"),
        ({"ALL_PROXY": PROXY}, "https://api.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "ALL_PROXY": "socks5://h:1"}, "https://api.example", PROXY),
        ({"HTTPS_PROXY": ""}, "https://api.example", None),
        ({"HTTP_PROXY": PROXY}, "https://api.example", None),
        ({"HTTP_PROXY": PROXY, "ALL_PROXY": PROXY}, "http://127.0.0.1:80", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "api.example"}, "https://api.example", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "other, .example"}, "https://api.example", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, "https://api.example", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "api.example:8443"}, "https://api.example:8443", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "api.example:8443"}, "https://api.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "pi.example"}, "https://api.example", PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "localhost,10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "x,10.0.0.0/8"}, "https://11.1.2.3", PROXY),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "fd00::/8"}, "https://[fd00::1]:8443", None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "::1"}, "https://[::1]", None),
    ],
)
def test_variables_are_read_as_usual(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], server: str, expected: str | None
) -> None:
    """`NO_PROXY` may have names, domains, ports and networks; a proxy's URL may lack its scheme."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = network_of(URL(server), proxy=None, trust_env=True, ssl=None).proxy
    assert (None if found is None else str(found)) == (None if expected is None else str(URL(expected)))
    given = read_proxy("http://mine.example")
    if server.startswith("https"):
        mine = network_of(URL(server), proxy=given, trust_env=True, ssl=None).proxy
        assert mine == URL("http://mine.example")


@pytest.mark.parametrize(
    ("name", "value"),
    [("HTTPS_PROXY", "socks5://an:0therPassw0rd@h:1"), ("ALL_PROXY", "socks5h://h:1"), ("HTTPS_PROXY", "http://h:x")],
)
def test_proxy_of_the_environment_that_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """With the name of its variable; connecting without it may not be what is wanted."""
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=f"{name} must be a URL of http") as caught:
        AlohubClient(KEY, trust_env=True)
    assert "0therPassw0rd" not in shown(caught.value)


# Certificates


async def test_certificates_are_those_of_the_option(certificate: Path) -> None:
    """A path or a context; without either, a certificate of one's own is not trusted."""
    async with api(certificate) as (url, came):
        for given in (certificate, str(certificate), trusting(certificate)):
            await get(url, ssl=given)
        assert len(came) == 6
        with pytest.raises(APIConnectionError, match=r"no secure connection to localhost: .*ssl=FILE"):
            await get(url)
        with pytest.raises(APIConnectionError, match="no secure connection"):
            await get(url, ssl=ssl.create_default_context())


@pytest.mark.parametrize("content", [None, "", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n"])
@pytest.mark.parametrize("by", ["ssl", "SSL_CERT_FILE"])
def test_file_without_certificates_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, content: str | None
) -> None:
    """The error names the option or the variable, and the file."""
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    options: Any = {"ssl": file}
    if by == "SSL_CERT_FILE":
        monkeypatch.setenv(by, str(file))
        options = {"trust_env": True}
    with pytest.raises(ConfigurationError, match=rf"{by} must name a PEM file with certificates; '.*ca\.pem' is none"):
        AlohubClient(KEY, **options)


@pytest.mark.parametrize(
    "given",
    [False, True, 5, b"x", ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)],
    ids=lambda given: type(given).__name__ + str(given)[:5],
)
def test_what_is_no_context_is_refused(given: Any) -> None:
    """Also `False`, by which other libraries trust everybody."""
    with pytest.raises(ConfigurationError, match="ssl must be an SSLContext for clients, or the path of a PEM file"):
        AlohubClient(KEY, ssl=given)


async def test_folder_of_certificates_is_trusted(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `SSL_CERT_DIR`, with the file names that OpenSSL makes."""
    command = await asyncio.create_subprocess_exec(
        *("openssl", "x509", "-hash", "-noout", "-in", str(certificate)), stdout=asyncio.subprocess.PIPE
    )
    name = (await command.communicate())[0].decode().strip()
    (tmp_path / f"{name}.0").symlink_to(certificate)
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    async with api(certificate) as (url, came):
        await get(url, trust_env=True)
    assert len(came) == 2


# Pools


async def test_pool_reaches_each_tenant_as_a_client_would(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenant of `http://`, or of `NO_PROXY`, is reached without the proxy, which never gets a key."""
    async with api(certificate) as (url, came), Proxy(credentials="an:word") as proxy, Sandbox() as sandbox:
        monkeypatch.setenv("HTTPS_PROXY", f"http://an:word@127.0.0.1:{proxy.port}")
        tenants = {
            "secure": Tenant("secure", api_key=KEY, base_url=url),
            "plain": Tenant("plain", api_key=sandbox.api_key, base_url=str(sandbox.url)),
        }
        for excluded, tunnels in (("other.example", 1), ("localhost", 1)):
            monkeypatch.setenv("NO_PROXY", excluded)
            async with AlohubPool(trust_env=True, ssl=certificate, retry=ONCE) as pool:
                outcomes = await pool.each(lambda client, _: client.queues.get_inbound(FIRST), tenants).collect()
            assert [outcome.error for outcome in outcomes] == [None, None]
            assert len(proxy.heads) == tunnels
        assert (len(came), len(sandbox.requests)) == (2, 2)
        assert KEY not in "".join(proxy.heads)


async def test_pool_with_a_proxy_refuses_http() -> None:
    """As a client does."""
    async with Proxy() as proxy, AlohubPool(proxy=f"http://127.0.0.1:{proxy.port}") as pool:
        tenant = Tenant("plain", api_key=KEY, base_url="http://127.0.0.1:1")
        with pytest.raises(ConfigurationError, match="proxy is for https:// only"):
            async with pool.client(tenant) as client:
                await client.queues.get_inbound(FIRST)
        assert proxy.heads == []
