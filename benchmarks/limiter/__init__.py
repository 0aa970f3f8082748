"""Does the limiter use a budget up without a 429? A simulation in virtual time, of the shipped buckets.

`python -m benchmarks.limiter` prints one table: the buckets against every kind of server window, beside other ways to
limit oneself, with what is asked of them. `--quick` takes a few seconds and is less certain.

The parts, from the bottom up: `loop` (the clock), `server` (windows, and other programs that spend), `client` (requests
in a queue, as the asyncio limiter keeps them), `policies` (other ways to limit, an omniscient client among them),
`scenario` (one run, measured), `table` (which runs, and their targets), `cost` (of a request, in real time).

A scenario is a function of its seed. `TUNING_SEEDS` are those that the design was tried out with; the table is made
from `REPORT_SEEDS` alone.
"""

TUNING_SEEDS = tuple(range(10))
REPORT_SEEDS = (7001, 7002, 7003, 7004, 7005, 7006)
