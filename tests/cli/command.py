"""The command as a test sees it."""

import json
from collections.abc import Sequence
from subprocess import Popen
from typing import Any, TypeAlias

import pytest
from attrs import frozen

from alohub_async.cli.app import run
from alohub_async.codec.converter import converter_for
from alohub_async.models import InboundQueue
from alohub_async.testing import Sandbox, WireQueue

Process: TypeAlias = Popen[str]


@frozen
class Outcome:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Stdout, decoded."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one line on stderr, after a look that it is one and nothing else was written."""
        assert self.out == ""
        assert self.err.startswith("alohub: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        return self.err.removeprefix("alohub: ").rstrip("\n")


@frozen
class Alohub:
    """Runs command lines in this process."""

    sandbox: Sandbox
    _capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Outcome:
        """Run one, and see that it never shows the key."""
        code = run(arguments)
        out, err = self._capsys.readouterr()
        assert self.sandbox.api_key not in out + err
        assert "Traceback" not in err
        return Outcome(code, out, err)


def records(queues: Sequence[WireQueue]) -> list[dict[str, Any]]:
    """What the SDK makes of those queues, as the command's JSON has it."""
    converter = converter_for(strict=False)
    made: list[dict[str, Any]] = [
        converter.unstructure(converter.structure(dict(queue), InboundQueue)) for queue in queues
    ]
    return made
