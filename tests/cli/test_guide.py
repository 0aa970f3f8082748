"""`alohub guide`."""

from pathlib import Path

import alohub_async
from tests.cli.command import Alohub

GUIDE = Path(alohub_async.__file__).parent / "guide"


def test_it_lists_the_pages(alohub: Alohub) -> None:
    """Each page, with its title."""
    lines = alohub("guide").out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(page.stem for page in GUIDE.glob("*.md"))
    assert "errors        Errors" in lines


def test_in_a_pipe_a_page_is_markdown(alohub: Alohub) -> None:
    """It can be searched, or rendered by another tool."""
    assert alohub("guide", "vi").out == (GUIDE / "vi.md").read_text(encoding="utf-8")


def test_an_unknown_page_gets_a_suggestion(alohub: Alohub) -> None:
    """Or the names of all pages."""
    assert alohub("guide", "eror").error == "the guide has no page 'eror'; did you mean 'errors'?"
    assert "there are audit, bulk, " in alohub("guide", "?").error
