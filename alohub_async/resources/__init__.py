"""What the API offers, one class for each kind of record."""

from alohub_async.resources.bulk import Failed, Outcome, Outcomes, Succeeded
from alohub_async.resources.edits import Edit
from alohub_async.resources.inbound_queues import Queues
from alohub_async.resources.resource import Resource, ResourceSpec

__all__ = ["Edit", "Failed", "Outcome", "Outcomes", "Queues", "Resource", "ResourceSpec", "Succeeded"]
