# The public names, and the modules they are in. `__init__.py` reads this file, so each is listed once.
# isort: off
from alohub_async.testing.contract import Answer as Answer, CapStyle as CapStyle
from alohub_async.testing.contract import DetailStyle as DetailStyle, TotalStyle as TotalStyle
from alohub_async.testing.data import OtherRecords as OtherRecords, WireQueue as WireQueue
from alohub_async.testing.data import seed_queues as seed_queues
from alohub_async.testing.faults import BadJson as BadJson, Delay as Delay, DropConnection as DropConnection
from alohub_async.testing.faults import EmptyBody as EmptyBody, Failure as Failure, Fault as Fault
from alohub_async.testing.faults import HtmlPage as HtmlPage, JsonAnswer as JsonAnswer, Stage as Stage
from alohub_async.testing.faults import Status as Status, TruncatedBody as TruncatedBody
from alohub_async.testing.request_log import RecordedRequest as RecordedRequest, RequestFilter as RequestFilter
from alohub_async.testing.request_log import Requests as Requests
from alohub_async.testing.sandbox import Sandbox as Sandbox
from alohub_async.testing.settings import HeaderStyle as HeaderStyle, KeyStyle as KeyStyle, Latency as Latency
from alohub_async.testing.settings import SandboxSettings as SandboxSettings
from alohub_async.testing.windows import WindowKind as WindowKind
