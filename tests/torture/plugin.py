"""The option `--torture`, and the counts in the summary of a test run."""

import time
from collections.abc import Generator
from typing import Any, Final, cast

import pytest

from tests.torture.harness import Torture

PROPERTY: Final = "torture"
"""The name under which a test reports its counts, from a worker process, too."""

_SEED: Final = 20260310


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the long mode, and the seed that selects the points of the short one."""
    group = parser.getgroup("torture")
    group.addoption("--torture", action="store_true", help="try all points of tests/torture (an hour)")
    group.addoption("--torture-point", default="", help="try only the points of this pattern, and excuse nothing")
    group.addoption("--torture-seed", type=int, default=_SEED, help=f"selects the tried points (default: {_SEED})")


@pytest.fixture(name="torture")
def _torture(request: pytest.FixtureRequest) -> Generator[Torture]:
    """A harness; after the test, its counts are part of the report."""
    long, seed = request.config.getoption("torture"), request.config.getoption("torture_seed")
    torture = Torture(long=bool(long), seed=int(seed or 0), only=str(request.config.getoption("torture_point")))
    started = time.perf_counter()
    yield torture
    counts = {**torture.counts(), "seconds": time.perf_counter() - started}
    request.node.user_properties.append((PROPERTY, {torture.harness: counts}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Write a line for each harness."""
    totals: dict[str, dict[str, float]] = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            # Each phase has the properties; they are complete after the teardown, which passed tests report as "".
            if getattr(report, "when", None) == "teardown":
                for counts in (value for name, value in report.user_properties if name == PROPERTY):
                    _add(totals, cast("dict[str, dict[str, Any]]", counts))
    if totals:
        mode = "all points" if config.getoption("torture") else f"some points, seed {config.getoption('torture_seed')}"
        terminalreporter.section(f"torture ({mode})")
    for harness, of in sorted(totals.items()):
        terminalreporter.write_line(
            f"{harness}: {of['tried']:.0f} of {of['points']:.0f} points, {of['known']:.0f} known violations,"
            f" {of['new']:.0f} new, {of['seconds']:.1f} s"
        )


def _add(totals: dict[str, dict[str, float]], counts: dict[str, dict[str, Any]]) -> None:
    for harness, of in counts.items():
        total = totals.setdefault(harness, {})
        for name, value in of.items():
            total[name] = total.get(name, 0) + value
