"""The log of a `RedisRateLimiter` in Redis or Valkey: one script writes and reads it, and one command waits for more.

The keys of a budget are in one hash slot: a stream, the log, and a hash with how many requests were booked, of the
tenant and of each route. The script takes what a process has to say and how many requests it would like to book, grants
as many as the totals allow, writes one entry, and returns the entries that the process has not read yet. It decides
nothing else: each process says up to which total its buckets allow to book. So what others booked in the meantime is
subtracted, and two processes never both get the last request. It takes O(log n) and the entries that it returns.

A 429 raises `epoch`: then a process must have read it before it gets more. `life` identifies the log. A process that
knows another one gets its name back, and nothing is written: the store has lost the log. It has also if one of the two
keys is missing, or if the process has read later entries than there are, as in a replica that was late. A process that
joins, and knows none, begins a new log then.

The time of the fleet is that of the entries' ids, which only rise. It is the store's clock, plus what that was once
behind an earlier entry (`skew`), because the store before had another clock.
"""

import asyncio
import hashlib
import math
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import attrs

Entry: TypeAlias = tuple[str, Mapping[str, str]]

FULL: Final = 500  # entries returned at once, at most
_SCRIPT: Final = """
local life, epoch, skew = unpack(redis.call('HMGET', KEYS[2], 'life', 'epoch', 'skew'))
local clock = redis.call('TIME')
local info = redis.call('EXISTS', KEYS[1]) == 1 and redis.call('XINFO', 'STREAM', KEYS[1])
if not info then life = '' end
if ARGV[3] == '' and (life or '') == '' then
  life, epoch, skew, info = table.concat(clock, '.'), '0', '0', {}
  redis.call('DEL', KEYS[1], KEYS[2])
  redis.call('HSET', KEYS[2], 'life', life, 'epoch', epoch, 'skew', skew)
end
if ARGV[3] ~= '' and ARGV[3] ~= life then return {life or '', '', 0, {}, {}} end
local function read(id)
  local time, number = string.match(id, '(%d+)-(%d+)')
  return tonumber(time), tonumber(number)
end
local last, number = read(info[8] or '0-0')
local known, known_number = read(ARGV[4])
if known > last or (known == last and known_number > number) then
  redis.call('DEL', KEYS[1], KEYS[2])
  return {'', '', 0, {}, {}}
end
local now = clock[1] * 1000 + math.floor(clock[2] / 1000) + skew
if now < last then
  redis.call('HINCRBY', KEYS[2], 'skew', last - now)
  now = last
end
local function booked(field) return tonumber(redis.call('HGET', KEYS[2], field) or '0') end
local grants = {}
if ARGV[6] == '0' and (epoch == ARGV[5] or ARGV[5] == '') then
  local free = tonumber(ARGV[10]) - booked('t')
  for i = 11, #ARGV, 3 do
    local n = math.min(tonumber(ARGV[i + 1]), free, tonumber(ARGV[i + 2]) - booked('r:' .. ARGV[i]))
    if n > 0 then
      free = free - n
      local first = redis.call('HINCRBY', KEYS[2], 't', n) - n
      local route_first = redis.call('HINCRBY', KEYS[2], 'r:' .. ARGV[i], n) - n
      grants[#grants + 1] = table.concat({ARGV[i], n, first, route_first}, ':')
    end
  end
end
if #grants > 0 or ARGV[7] ~= '' then
  if ARGV[6] == '1' then epoch = redis.call('HINCRBY', KEYS[2], 'epoch', 1) end
  local id = string.format('%d-%d', now, now > last and 0 or number + 1)
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', 50000, id, 'p', ARGV[1], 'x', ARGV[2],
    'g', table.concat(grants, ' '), 'm', ARGV[7])
  redis.call('XTRIM', KEYS[1], 'MINID', '~', now - ARGV[8])
  redis.call('PEXPIRE', KEYS[1], ARGV[9])
  redis.call('PEXPIRE', KEYS[2], ARGV[9])
end
local totals = {booked('t')}
for i = 11, #ARGV, 3 do totals[#totals + 1] = booked('r:' .. ARGV[i]) end
return {life, tostring(epoch), now, totals, redis.call('XRANGE', KEYS[1], '(' .. ARGV[4], '+', 'COUNT', 500)}
"""


_DIGEST: Final = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


class DataLostError(Exception):
    """The store is there, but the log is not, or is another one."""


class RedisClient(Protocol):
    """What is needed of `redis.asyncio.Redis` or `redis.asyncio.RedisCluster`."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command."""

    async def aclose(self) -> None:
        """Close the connections."""


class Reply(NamedTuple):
    """What the script returned."""

    life: str
    epoch: str
    time: float  # of the fleet, in seconds
    booked: list[int]  # requests in all: of the tenant, and of each route that was asked for
    entries: list[Entry]


@attrs.define(eq=False, repr=False)
class Store:
    """The log of one budget. Its methods raise whatever the client of the store does, or a `DataLostError`."""

    _connect: Callable[[], RedisClient]
    _owned: bool  # whether a client that was made so is closed
    _timeout: float  # seconds for each command
    log: str  # the name of the stream
    _booked: str  # of the hash
    _client: RedisClient | None = None

    def forget(self) -> None:
        """Use another client: the event loop of this one has ended."""
        self._client = None

    async def aclose(self) -> None:
        """Close the connections that are its own."""
        client, self._client = self._client, None
        if client is not None and self._owned:
            await client.aclose()

    async def exchange(self, *arguments: str | int) -> Reply:
        """Run the script."""
        import redis.exceptions

        keys = (2, self.log, self._booked, *arguments)
        try:
            reply = await self._run("EVALSHA", _DIGEST, *keys)
        except redis.exceptions.NoScriptError:
            reply = await self._run("EVAL", _SCRIPT, *keys)
        life, epoch, now, booked, entries = reply
        return Reply(_text(life), _text(epoch), now / 1000, booked, [_entry(*each) for each in entries])

    async def wait(self, cursor: str, seconds: float) -> list[Entry]:
        """Wait for entries after that one; none if there are none in time."""
        command = ("XREAD", "COUNT", FULL, "BLOCK", math.ceil(seconds * 1000), "STREAMS", self.log, cursor)
        reply = await self._run(*command, wait=seconds)
        streams: list[Any] = [each[1] for each in (reply.items() if hasattr(reply, "items") else reply or ())]
        entries = [each for stream in streams for each in stream]
        if entries and isinstance(entries[0][0], (list, tuple)):  # RESP3
            entries = [each for some in entries for each in some]
        return [_entry(*each) for each in entries]

    async def _run(self, *command: str | int, wait: float = 0.0) -> Any:
        import redis.exceptions

        self._client = client = self._client or self._connect()
        try:
            async with asyncio.timeout(self._timeout + wait):
                try:
                    return await client.execute_command(*command)
                except redis.exceptions.ConnectionError:  # it may have been closed long ago; no command harms twice
                    return await client.execute_command(*command)
        except TimeoutError:
            raise TimeoutError(f"no answer within {self._timeout + wait:g} s") from None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _entry(entry: Any, fields: Any) -> Entry:
    flat: Any = fields if hasattr(fields, "append") else chain.from_iterable(fields.items())
    texts = [_text(each) for each in flat]
    return _text(entry), dict(zip(texts[::2], texts[1::2], strict=True))
