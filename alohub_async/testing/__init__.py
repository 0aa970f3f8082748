"""The sandbox: a stand-in for the Alohub service to test against, over real sockets.

    async with Sandbox(queues=250) as sandbox, sandbox.client() as client:
        ...

`Sandbox` is the server, `SandboxSettings` lists its settings, the subclasses of `Fault` are what `sandbox.fail` can do.
"""

from alohub_async._lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__)
