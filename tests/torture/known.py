"""What is known to fail today. An entry that fails no longer fails the test: it must be removed."""

from typing import Final

from attrs import frozen


@frozen
class Known:
    """A kind of violation.

    Attributes:
        points: The names of its points: a pattern of `fnmatch`.
        what: A regular expression that is found in its description.
        why: One sentence.
        example: A point that shows it. The short mode tries it, too; without one, the points must
            be of one test, and only the long mode can tell whether it still fails.
    """

    points: str
    what: str
    why: str
    example: str | None = None


_CANCELLED: Final = (
    Known(
        "cancelled/export*",
        "a thread still works|left in the folder",
        "A second cancellation ends the wait for the thread that writes the journal or the file.",
        example="cancelled/export/free/twice/1",
    ),
)

_FAILING: Final = (
    Known(
        "failing/*/no name*",
        "^no request came, and maybe_sent is True",
        "A lookup of a name that is cut off counts as a request that was sent.",
        example="failing/get/no name/no retries/1",
    ),
    Known(
        "failing/*/session closed/*",
        "an update was done, and maybe_sent is None on ClientClosedError",
        "An error of a session that is closed under a request does not tell that the request was sent.",
        example="failing/update/session closed/no retries/1",
    ),
    Known(
        "failing/edit/*",
        "requests came, and attempts is",
        "An error of an edit counts the transmissions of its last request only.",
        example="failing/edit/garbage/no retries/2",
    ),
    Known(
        "failing/edit/*",
        "an update was done, and maybe_sent is (None|False)",
        "An error of an edit tells about its last request only.",
        example="failing/edit/429 burst/no retries/3",
    ),
    Known(
        "failing/apply/*",
        "an update was done, and maybe_sent is (None|False)",
        "An error of a result tells about the last request only.",
        example="failing/apply/503 burst/no retries/10",
    ),
    Known(
        "failing/update many/storm/*",
        "an update was done, and maybe_sent is (None|False) on (RateLimit|InternalServer)",
        "An error of the limiter, or of a refusal, does not tell what earlier attempts did.",
        example="failing/update many/storm/short waits/1",
    ),
    Known(
        "failing/apply/*",
        "is said to be not written",
        "An update that timed out and is done later was called failed.",
        example="failing/apply/done late/no retries/9",
    ),
)

_HOSTILE: Final = (
    Known(
        "hostile/*",
        r"^a message with '\\n'",
        "A message of aiohttp is shown with its line breaks.",
        example="hostile/get/encoding: false gzip",
    ),
    Known(
        "hostile/*",
        r"^a message with '(\\x|\\u)|^a message of \d+ characters",
        "What an answer says comes into messages at any length and with any characters.",
        example="hostile/get/value: long messages 200 OK",
    ),
    Known(
        "hostile/update/*",
        "^an update that may be done was sent 2 times",
        "An answer that cannot be decoded counts as a lost connection.",
        example="hostile/update/encoding: false br",
    ),
    Known(
        "hostile/*/b*",
        "of the processor|MiB of memory",
        "A body has no largest size.",
        example="hostile/get/bomb: deflate",
    ),
    Known(
        "hostile/*",
        "and attempts is 0",
        "An error about the shape of an answer has no attempts.",
        example="hostile/get/value: 0 alone",
    ),
    Known(
        "hostile/*",
        "not finite",
        "A number that is too large becomes infinite.",
        example="hostile/get/number: 1e400",
    ),
    Known(
        "hostile/*",
        "afterwards did not end|in _refuse_long_wait",
        "A time to wait is believed without a bound.",
        example="hostile/get/waits: 429 Slow 1e308",
    ),
)

_JOURNAL: Final = (
    Known(
        "journal/*/*",
        "the damage was not noticed|the point itself failed|the file is not right|names no way out|does not name",
        "A damage in the middle of a journal cuts it off, and its state is used without a check.",
        example="journal/removed, plain/600",
    ),
    Known(
        "journal/stranger/*",
        "the damage was not noticed",
        "A small file that is no journal is overwritten.",
        example="journal/stranger/text",
    ),
)

_CANARY: Final = (
    Known(
        "canary/*",
        "in the local variables of",
        "The key, and answers that repeat it, are plain values in local variables.",
        example="canary/get/page/plain/strict",
    ),
    Known(
        "canary/bad key/*",
        "no repr in the local variables of",
        "A client that could not be made has no repr.",
        example="canary/bad key/given/0",
    ),
    Known(
        "canary/*",
        "^shown by (JSONDecodeError|FieldError|KeyError|ValueError)",
        "A cause of an error holds the answer.",
        example="canary/get/page of a success/plain/strict",
    ),
    Known(
        "canary/*",
        "^in the log",
        "A rate limit that makes no sense is logged as it is.",
        example="canary/get/limit/plain/strict",
    ),
    Known(
        "canary/command*",
        "^in stderr",
        "The same, on the command line.",
        example="canary/command get/limit",
    ),
    Known(
        "canary/*",
        "^shown by (API|Deadline|Internal|PermissionDenied|Authentication|RequestFailed|RateLimit|BadRequest)",
        "The key is not struck out of names in objects, and not in all the ways to write it.",
        example="canary/get/message/URL in lower case/strict",
    ),
)

KNOWN: Final[tuple[Known, ...]] = (*_CANCELLED, *_FAILING, *_HOSTILE, *_JOURNAL, *_CANARY)
