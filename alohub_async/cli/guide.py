"""`alohub guide`: the pages of the guide."""

import difflib
import sys
from importlib.resources import files
from typing import Annotated

from rich.markdown import Markdown
from typer import Argument

from alohub_async.cli.errors import CommandError
from alohub_async.cli.output import print_rich, write


def guide_command(topic: Annotated[str | None, Argument(metavar="[TOPIC]", show_default=False)] = None) -> None:
    """Show a page of the guide, or the list of pages.

    In a pipe, a page is plain Markdown.
    """
    pages = {
        page.name.removesuffix(".md"): page.read_text(encoding="utf-8")
        for page in sorted(files("alohub_async").joinpath("guide").iterdir(), key=lambda page: page.name)
    }
    if topic is None:
        titles = {name: text.splitlines()[0].removeprefix("# ") for name, text in pages.items()}
        write("".join(f"{name:14}{title}\n" for name, title in titles.items()))
    elif topic not in pages:
        near = difflib.get_close_matches(topic, pages, n=1)
        advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(pages)}"
        raise CommandError(f"the guide has no page {topic!r}; {advice}")
    elif sys.stdout.isatty():
        print_rich(Markdown(pages[topic]))
    else:
        write(pages[topic])
