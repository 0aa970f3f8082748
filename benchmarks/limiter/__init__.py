"""Does the limiter use a budget up without a 429? A simulation in virtual time, with the shipped buckets.

`python -m benchmarks.limiter` prints one table: the buckets against every kind of server window, compared with other
policies and with the required values. `--quick` takes about a minute and is less precise.

The parts, from the bottom up: `loop` (the clock), `server` (windows, and another client that spends), `client` (waiting
requests, as the asyncio limiter keeps them), `policies` (other policies, an omniscient client among them), `scenario`
(one run, measured), `rows` (of the table), `table` (the windows with an exact clock, and what each requires),
`gateways` (the same for all other servers), `sockets` (the shipped client in real time), `cost` (of a request).

A scenario is a function of its seed. `TUNING_SEEDS` are those that the design was tuned with; the table uses
`REPORT_SEEDS` only.
"""

TUNING_SEEDS = tuple(range(10))
REPORT_SEEDS = (7001, 7002, 7003, 7004, 7005, 7006)
