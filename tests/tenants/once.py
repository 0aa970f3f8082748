"""One run over the tenants of a file, in a process that can be killed."""

import asyncio
from pathlib import Path

from alohub_async.tenants import export_tenants


def export_file(file: Path, folder: Path) -> None:
    """Export the tenants of a file."""
    asyncio.run(export_tenants(file, folder))
