"""The `alohub` command. It needs the extra `cli`; `import alohub_async` never imports it."""

import sys
from typing import Final

_EXTRA: Final = frozenset({"platformdirs", "rich", "typer"})
_NOT_INSTALLED: Final = 7  # ExitCode.NOT_INSTALLED, whose module cannot be imported without the extra


def main() -> None:
    """Run the command line of this process and exit; `alohub --help` explains the exit codes."""
    from alohub_async.cli.streams import usable_streams

    with usable_streams():
        try:
            from alohub_async.cli.app import run
        except ModuleNotFoundError as exc:
            if exc.name is None or exc.name.partition(".")[0] not in _EXTRA:
                raise
            sys.stderr.write(f"alohub: {exc.name} is not installed; run: pip install 'alohub-async[cli]'\n")
            sys.exit(_NOT_INSTALLED)
        sys.exit(run())
