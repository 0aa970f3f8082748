"""What the API offers, one class for each kind of thing."""

from alohub_async.resources.edits import Edit
from alohub_async.resources.outcomes import Outcome, Outcomes
from alohub_async.resources.queues import Queues

__all__ = ["Edit", "Outcome", "Outcomes", "Queues"]
