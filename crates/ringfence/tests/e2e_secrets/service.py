"""A service that speaks HTTP/2 with prior knowledge by python3-h2, answers every request, and says on standard output what it heard."""

import socket
import sys
import threading

import h2.config
import h2.connection
import h2.events


def serve(sock):
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
    connection.initiate_connection()
    sock.sendall(connection.data_to_send())
    while piece := sock.recv(65536):
        for event in connection.receive_data(piece):
            if isinstance(event, (h2.events.RequestReceived, h2.events.TrailersReceived)):
                print(event.headers, flush=True)
            elif isinstance(event, h2.events.DataReceived):
                print(event.data, flush=True)
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                connection.send_headers(event.stream_id, [(":status", "200"), ("grpc-status", "0")], end_stream=True)
        sock.sendall(connection.data_to_send())


with socket.create_server(("0.0.0.0", int(sys.argv[1])), backlog=100) as door:
    print("is serving", flush=True)
    while True:
        threading.Thread(target=serve, args=door.accept()[:1], daemon=True).start()
