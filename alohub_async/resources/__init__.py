"""What the API offers, one class for each kind of thing."""

from alohub_async.resources.queues import Queues

__all__ = ["Queues"]
