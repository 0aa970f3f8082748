"""The routes of the inbound queues, as the resource declares them."""

from typing import Final

from alohub_async import Route

LIST_INBOUND: Final = Route("GET", "/v1/queues/inbound")
GET_INBOUND: Final = Route("GET", "/v1/queues/inbound/{id}")
UPDATE_INBOUND: Final = Route("PUT", "/v1/queues/inbound/{id}")
