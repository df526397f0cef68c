"""Calls as it is told, on one channel, with one answer in JSON a line."""
import json, os, queue, sys
os.environ["GRPC_DNS_RESOLVER"] = "native"
import grpc

channel = grpc.insecure_channel("calls:50051")
kept = {}

def failed(error):
    trailers = {name: value for name, value in error.trailing_metadata() or ()}
    return {"code": error.code().name, "details": error.details(), "trailers": trailers}

def one(method, text):
    try:
        return {"ok": channel.unary_unary(method)(text.encode(), timeout=60).decode()}
    except grpc.RpcError as error:
        return failed(error)

def row(method, count):
    try:
        return {"ok": [m.decode() for m in channel.unary_stream(method)(str(count).encode(), timeout=60)]}
    except grpc.RpcError as error:
        return failed(error)

def chat(name, method):
    said = queue.Queue()
    kept[name] = (said, channel.stream_stream(method)(iter(said.get, None)))
    return {"open": name}

def say(name, text):
    said, call = kept[name]
    said.put(None if text is None else text.encode())
    try:
        return {"ok": next(call).decode()}
    except StopIteration:
        return {"end": call.code().name}
    except grpc.RpcError as error:
        return failed(error)

def wait(name):
    try:
        return {"ok": next(kept[name][1]).decode()}
    except grpc.RpcError as error:
        return failed(error)

print("ready", flush=True)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    print(json.dumps(globals()[name](*arguments)), flush=True)
