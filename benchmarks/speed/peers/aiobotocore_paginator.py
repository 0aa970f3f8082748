"""aiobotocore: a paginator over our own service model, in the format of the data files of botocore."""

import json
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiobotocore.session import get_session

from benchmarks.speed.contestant import Walk
from benchmarks.speed.lists import List
from benchmarks.speed.visits import Counting

_TEXT = {"shape": "Text"}
_NUMBER = {"shape": "Number"}

_SERVICE: dict[str, Any] = {
    "version": "2.0",
    "metadata": {
        "apiVersion": "2026-03-10",
        "endpointPrefix": "queues",
        "protocol": "rest-json",
        "protocols": ["rest-json"],
        "serviceFullName": "Queues",
        "serviceId": "Queues",
        "signatureVersion": "v4",
        "signingName": "queues",
        "uid": "queues-2026-03-10",
    },
    "operations": {
        "ListInbound": {
            "name": "ListInbound",
            "http": {"method": "GET", "requestUri": "/v1/queues/inbound"},
            "input": {"shape": "ListInboundRequest"},
            "output": {"shape": "ListInboundResponse"},
        }
    },
    "shapes": {
        "Text": {"type": "string"},
        "Number": {"type": "integer"},
        "ListInboundRequest": {
            "type": "structure",
            "members": {
                "token": {"shape": "Text", "location": "querystring", "locationName": "token"},
                "size": {"shape": "Number", "location": "querystring", "locationName": "size"},
            },
        },
        "ListInboundResponse": {
            "type": "structure",
            "members": {"data": {"shape": "Queues"}, "totalRecord": _NUMBER, "next_token": _TEXT},
        },
        "Queues": {"type": "list", "member": {"shape": "Queue"}},
        "Queue": {
            "type": "structure",
            "members": {
                "callinId": _NUMBER,
                "callinName": _TEXT,
                "strategy": _NUMBER,
                "musicinQueue": _TEXT,
                "timeWait": _TEXT,
                "agentSelector": _TEXT,
                "nguongRanhRoi": _TEXT,
                "callinNumber": _TEXT,
            },
        },
    },
}
_PAGINATORS = {
    "pagination": {
        "ListInbound": {
            "input_token": "token",
            "output_token": "next_token",
            "limit_key": "size",
            "result_key": "data",
        }
    }
}


@asynccontextmanager
async def opened(url: str, which: List) -> AsyncGenerator[Walk]:
    """A client of this service."""
    with tempfile.TemporaryDirectory() as data_path:
        model = Path(data_path) / "queues" / _SERVICE["metadata"]["apiVersion"]
        model.mkdir(parents=True)
        (model / "service-2.json").write_text(json.dumps(_SERVICE))
        (model / "paginators-1.json").write_text(json.dumps(_PAGINATORS))
        session = get_session()
        session.set_config_variable("data_path", data_path)
        async with session.create_client(
            "queues",
            region_name="ap-southeast-1",
            endpoint_url=url,
            aws_access_key_id="speed",
            aws_secret_access_key="sk_live_speed",  # noqa: S106  (no secret)
        ) as client:
            paginator = client.get_paginator("list_inbound")

            async def walk(visit: Counting) -> int:
                count = 0
                async for page in paginator.paginate(PaginationConfig={"PageSize": which.size}):
                    count += visit.page(page["data"])
                return count

            yield walk
