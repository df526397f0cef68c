"""Sends a secret in every place where a request over HTTP/1.1 can carry it, each on a connection of its own, the second time in pieces.

Arguments: the secret, what may be read. Says how many were answered.
"""

import base64
import json
import socket
import sys
import time
import urllib.parse

S, TENANT = sys.argv[1], sys.argv[2]
B64 = base64.b64encode(S.encode()).decode()
PCT = "".join("%%%02X" % b for b in S.encode())
QUOTED = urllib.parse.quote(S, safe="")
HEX = S.encode().hex()
BASIC = base64.b64encode(("user:" + S).encode()).decode()
HEAD = "Host: web\r\nConnection: close\r\n"

def get(target, more="", method="GET", body="", version="HTTP/1.1"):
    return f"{method} {target} {version}\r\n{HEAD}{more}\r\n{body}"

def post(body, more=""):
    return get("/items", f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{more}", "POST", body)

chunked = "Transfer-Encoding: chunked\r\n"
requests = [
    # Fields.
    get("/a", f"Authorization: Bearer {S}\r\n"), get("/a", f"Authorization: Basic {BASIC}\r\n"),
    get("/a", f"Proxy-Authorization: Basic {BASIC}\r\n"), get("/a", f"Cookie: sid={S}; b={B64}\r\n"),
    get("/a", f"X-Api-Key: {S}\r\nX-Mine: {HEX}\r\n"), get("/a", f"X-{HEX}: 1\r\n"), get("/a", f"User-Agent: {S}\r\nReferer: http://x/?t={QUOTED}\r\n"),
    get("/a", f"Accept: {S}\r\nAccept-Language: {B64}\r\nOrigin: {S}\r\n"), get("/a", f"X-Forwarded-Client-Cert: {S}\r\n"),
    # Queries: values, names, forms that cannot be decoded, a long one.
    get(f"/a?token={QUOTED}"), get(f"/a?token={PCT}&x={B64}"), get(f"/a?{QUOTED}=1"), get(f"/a?{QUOTED}"), get(f"/a?x=%zz{HEX}"),
    get(f"/a?page={QUOTED}x" + "y" * 400), get("/a?" + "&".join(f"k{n}={HEX}" for n in range(60))),
    get("/a?page=2", f"X-Tenant: {TENANT}\r\n"),
    # Denied, and to a method that is nobody's.
    get(f"/a?token={QUOTED}", f"Authorization: Bearer {S}\r\n", "DELETE"), get(f"/a?q={HEX}", f"Cookie: {S}\r\n", "PATCH"),
    # Bodies, trailers.
    post(json.dumps({"password": S, "b": B64})), get("/items", chunked, "POST", f"{len(S):x}\r\n{S}\r\n0\r\nX-Trailer: {S}\r\n\r\n"),
    # Targets in absolute form, with userinfo, with fragments.
    get(f"http://user:{S.replace('/', '')}@web/a"), get(f"http://web/a?token={QUOTED}"), get(f"/a#{HEX}"), get(f"http://{HEX}@web/a", f"Authorization: Bearer {S}\r\n"),
    # Broken in many ways.
    get(f"/a?token={QUOTED}", "Broken header\r\n"), get(f"/a?t={HEX}", f"Authorization : Bearer {S}\r\n"), get(f"/a?t={HEX}", f"Authorization: Bearer {S}\x00\r\n"),
    get(f"/a?t={HEX}", f"A: b\r\n folded {S}\r\n"), get(f"/a?t={HEX}", version="HTTP/9.9"), f"GET /a?t={HEX}\r\n\r\n", f"\r\n\r\n{S}\r\n\r\n",
    f"AUTH {S}\r\n", f"*2\r\n$4\r\nAUTH\r\n${len(S)}\r\n{S}\r\n", f"{{\"password\":\"{S}\"}}\r\n\r\n", f"CONNECT user:{HEX}@web:80 HTTP/1.1\r\n\r\n",
    get("/a", f"Content-Length: 5\r\nContent-Length: {HEX}\r\n"), get("/items", chunked, "POST", f"zz{S}\r\n"), get("/a/../b?t=" + HEX), get(f"/a%2fb?t={HEX}", f"Cookie: {S}\r\n"),
    get("/a", f"Expect: {HEX}\r\n"), get("/a", f"Upgrade: {HEX}\r\nConnection: upgrade\r\n"),
    get("/a", "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: {HEX}\r\nAuthorization: Bearer {S}\r\n"),
]
answered = 0
for number, request in enumerate(requests + requests):
    data = request.encode("latin-1")
    with socket.create_connection(("web", 8080), timeout=5) as sock:
        sock.settimeout(3)
        try:
            if number < len(requests):
                sock.sendall(data)
            else:
                for at in range(0, len(data), max(1, len(data) // 7)):
                    sock.sendall(data[at:at + max(1, len(data) // 7)])
                    time.sleep(0.002)
            if sock.recv(65536):
                answered += 1
        except OSError:
            pass
print("answered", answered, "of", 2 * len(requests), flush=True)
