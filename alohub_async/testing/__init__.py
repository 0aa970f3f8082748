"""The sandbox: a stand-in for the Alohub service to test against, over real sockets.

    async with Sandbox(queues=250) as sandbox, sandbox.client() as client:
        ...

`Sandbox` is the server, `SandboxSettings` lists its settings, the subclasses of `Fault` are what `sandbox.fail` can do.
"""

from typing import TYPE_CHECKING

from alohub_async._lazy import lazy_names

if TYPE_CHECKING:
    from alohub_async.testing.contract import Answer, CapStyle, DetailStyle, TotalStyle
    from alohub_async.testing.data import WireQueue, seed_queues
    from alohub_async.testing.faults import (
        BadJson,
        Delay,
        DropConnection,
        EmptyBody,
        Failure,
        Fault,
        HtmlPage,
        JsonAnswer,
        Stage,
        Status,
        TruncatedBody,
    )
    from alohub_async.testing.request_log import RecordedRequest, RequestFilter, Requests
    from alohub_async.testing.sandbox import Sandbox
    from alohub_async.testing.settings import HeaderStyle, Latency, SandboxSettings
    from alohub_async.testing.windows import WindowKind

__all__ = [
    "Answer",
    "BadJson",
    "CapStyle",
    "Delay",
    "DetailStyle",
    "DropConnection",
    "EmptyBody",
    "Failure",
    "Fault",
    "HeaderStyle",
    "HtmlPage",
    "JsonAnswer",
    "Latency",
    "RecordedRequest",
    "RequestFilter",
    "Requests",
    "Sandbox",
    "SandboxSettings",
    "Stage",
    "Status",
    "TotalStyle",
    "TruncatedBody",
    "WindowKind",
    "WireQueue",
    "seed_queues",
]

if not TYPE_CHECKING:  # type checkers take the imports above, and flag names that are not there
    __getattr__ = lazy_names(
        __name__,
        {
            "contract": ("Answer", "CapStyle", "DetailStyle", "TotalStyle"),
            "data": ("WireQueue", "seed_queues"),
            "faults": (
                "BadJson",
                "Delay",
                "DropConnection",
                "EmptyBody",
                "Failure",
                "Fault",
                "HtmlPage",
                "JsonAnswer",
                "Stage",
                "Status",
                "TruncatedBody",
            ),
            "request_log": ("RecordedRequest", "RequestFilter", "Requests"),
            "sandbox": ("Sandbox",),
            "settings": ("HeaderStyle", "Latency", "SandboxSettings"),
            "windows": ("WindowKind",),
        },
    )


def __dir__() -> list[str]:
    return sorted(__all__)
