"""A service that speaks HTTP/2 with prior knowledge by python3-h2, and says on standard output what reached it.

/slow never answers, /long answers with more than any window has, /echo says back what it hears; all others say `here`.
"""

import socket
import sys
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions


def serve(sock):
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    paths, pending = {}, {}

    def push(stream):
        while stream in pending:
            data, end = pending[stream]
            room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size, len(data))
            if room <= 0 and data:
                return
            connection.send_data(stream, data[:room], end_stream=end and room == len(data))
            if room == len(data):
                del pending[stream]
            else:
                pending[stream] = (data[room:], end)

    def say(stream, data, end):
        before, _ = pending.get(stream, (b"", False))
        pending[stream] = (before + data, end)
        push(stream)

    while piece := sock.recv(65536):
        try:
            events = connection.receive_data(piece)
        except h2.exceptions.ProtocolError as error:
            print("broken", type(error).__name__, error, flush=True)
            return
        for event in events:
            try:
                if isinstance(event, h2.events.RequestReceived):
                    fields = dict(event.headers)
                    path = paths[event.stream_id] = fields[":path"]
                    print(fields[":method"], path, flush=True)
                    if path.startswith("/slow"):
                        continue
                    connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "text/plain")])
                    if path == "/long":
                        say(event.stream_id, b"x" * 100_000, True)
                    elif path != "/echo":
                        say(event.stream_id, b"here", True)
                elif isinstance(event, h2.events.DataReceived):
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    if paths.get(event.stream_id) == "/echo":
                        say(event.stream_id, event.data, False)
                elif isinstance(event, h2.events.StreamEnded):
                    if paths.get(event.stream_id) == "/echo":
                        connection.end_stream(event.stream_id)
                elif isinstance(event, h2.events.StreamReset):
                    pending.pop(event.stream_id, None)
                elif isinstance(event, (h2.events.WindowUpdated, h2.events.RemoteSettingsChanged)):
                    for stream in list(pending):
                        push(stream)
            except h2.exceptions.ProtocolError:
                pending.pop(getattr(event, "stream_id", None), None)
        sock.sendall(connection.data_to_send())


def guarded(sock):
    try:
        serve(sock)
    except OSError:
        pass
    finally:
        sock.close()


listener = socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=256)
print("web is serving", flush=True)
while True:
    accepted, _ = listener.accept()
    threading.Thread(target=guarded, args=(accepted,), daemon=True).start()
