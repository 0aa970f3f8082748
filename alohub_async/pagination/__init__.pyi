# The names for other packages, and the modules they are in. `__init__.py` reads this file, so each is listed once.
# isort: off
from alohub_async.pagination.page import MAX_PAGE_SIZE as MAX_PAGE_SIZE, Consistency as Consistency, Drift as Drift
from alohub_async.pagination.page import Estimate as Estimate, FetchedPage as FetchedPage, Page as Page
from alohub_async.pagination.page import StopReason as StopReason
from alohub_async.pagination.pager import Pager as Pager
from alohub_async.pagination.passes import Passes as Passes, PassesState as PassesState
from alohub_async.pagination.repair import RepairingSource as RepairingSource
from alohub_async.pagination.seen_keys import KeySet as KeySet
from alohub_async.pagination.token import MAX_PAGES as MAX_PAGES, PageToken as PageToken
from alohub_async.pagination.walking import WalkingSource as WalkingSource
