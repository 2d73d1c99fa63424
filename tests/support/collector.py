"""A receiver of OTLP over HTTP, on loopback: keeps what it is sent, and reads it as the protocol says."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector:
    """``bodies`` are the requests' bytes; ``url`` is where they are sent."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.url = ""

    @contextmanager
    def serve(self) -> Iterator[Self]:
        """Listen until the block's end."""
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                known = self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                if known:
                    collector.bodies.append(body)
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200 if known else 400)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        self.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    @property
    def spans(self) -> list[Span]:
        """All, in the order in which they came."""
        requests = [ExportTraceServiceRequest.FromString(body) for body in list(self.bodies)]
        return [
            span
            for request in requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def wait_for(self, request_id: str) -> None:
        """Until the span of that request is here, which ends after its steps' spans."""
        end = time.monotonic() + 20
        while not any(attributes(span).get("cordon.request_id") == request_id for span in self.spans):
            assert time.monotonic() < end, "no span of the request came"
            time.sleep(0.02)


def attributes(span: Span) -> dict[str, Any]:
    """By name."""
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in span.attributes}
