"""Tenants on sandboxes, for the jobs over them."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import pytest

from alohub_async import Tenant
from alohub_async.testing import Sandbox


@contextmanager
def served(monkeypatch: pytest.MonkeyPatch, **queues: int) -> Generator[dict[str, tuple[Tenant, Sandbox]]]:
    """A tenant and its sandbox for each name, with so many queues; the keys are in the environment."""
    with ExitStack() as stack:
        found: dict[str, tuple[Tenant, Sandbox]] = {}
        for name, number in queues.items():
            sandbox = stack.enter_context(Sandbox(queues=number, tenant_id=f"T{name}"))
            monkeypatch.setenv(f"KEY_{name}", sandbox.api_key)
            tenant = Tenant(name, api_key_env=f"KEY_{name}", tenant_id=sandbox.tenant_id, base_url=str(sandbox.url))
            found[name] = tenant, sandbox
        yield found
