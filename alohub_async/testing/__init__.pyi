# The public names, and the modules they are in. `__init__.py` reads this file, so each is listed once.
# fmt: off
from alohub_async.testing.contract import Answer as Answer
from alohub_async.testing.contract import CapStyle as CapStyle
from alohub_async.testing.contract import DetailStyle as DetailStyle
from alohub_async.testing.contract import TotalStyle as TotalStyle
from alohub_async.testing.data import WireQueue as WireQueue
from alohub_async.testing.data import seed_queues as seed_queues
from alohub_async.testing.faults import BadJson as BadJson
from alohub_async.testing.faults import Delay as Delay
from alohub_async.testing.faults import DropConnection as DropConnection
from alohub_async.testing.faults import EmptyBody as EmptyBody
from alohub_async.testing.faults import Failure as Failure
from alohub_async.testing.faults import Fault as Fault
from alohub_async.testing.faults import HtmlPage as HtmlPage
from alohub_async.testing.faults import JsonAnswer as JsonAnswer
from alohub_async.testing.faults import Stage as Stage
from alohub_async.testing.faults import Status as Status
from alohub_async.testing.faults import TruncatedBody as TruncatedBody
from alohub_async.testing.request_log import RecordedRequest as RecordedRequest
from alohub_async.testing.request_log import RequestFilter as RequestFilter
from alohub_async.testing.request_log import Requests as Requests
from alohub_async.testing.sandbox import Sandbox as Sandbox
from alohub_async.testing.settings import HeaderStyle as HeaderStyle
from alohub_async.testing.settings import KeyStyle as KeyStyle
from alohub_async.testing.settings import Latency as Latency
from alohub_async.testing.settings import SandboxSettings as SandboxSettings
from alohub_async.testing.windows import WindowKind as WindowKind
