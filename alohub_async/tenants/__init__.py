"""Exports and audits of many tenants, in this process or on a cluster."""

from alohub_async._lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__)
