"""A service of gRPC that echoes: one message, a row of them, and whatever comes. Its port is its argument, or 50051."""
import sys
from concurrent import futures
import grpc

def row(request, context):
    for number in range(int(request)):
        yield str(number).encode()

def chat(requests, context):
    for request in requests:
        yield b"heard " + request

def fail(request, context):
    context.set_trailing_metadata((("x-sum", "7"),))
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not now")

class Handler(grpc.GenericRpcHandler):
    def service(self, details):
        print(details.method, flush=True)
        name = details.method.rsplit("/", 1)[1]
        return {
            "Get": grpc.unary_unary_rpc_method_handler(lambda request, context: b"got " + request),
            "Row": grpc.unary_stream_rpc_method_handler(row),
            "Chat": grpc.stream_stream_rpc_method_handler(chat),
            "Ping": grpc.stream_stream_rpc_method_handler(chat),
            "Fail": grpc.unary_unary_rpc_method_handler(fail),
        }.get(name)

server = grpc.server(futures.ThreadPoolExecutor(16), handlers=[Handler()])
server.add_insecure_port(f"[::]:{(sys.argv + [50051])[1]}")
server.start()
print("calls is serving", flush=True)
server.wait_for_termination()
