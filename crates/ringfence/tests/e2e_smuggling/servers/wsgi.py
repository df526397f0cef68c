"""What a WSGI application is told by gunicorn."""


def shown(data):
    if not data:
        return "-"
    data = data.encode("latin-1", "replace") if isinstance(data, str) else data
    return "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\x{b:02X}" for b in data)


def application(environ, start_response):
    body = environ["wsgi.input"].read()
    length = environ.get("CONTENT_LENGTH")
    if length and length.isdigit() and len(body) < int(length):
        start_response("400 Bad Request", [("content-length", "0")])
        return []
    host = environ.get("HTTP_HOST", "").lower().rsplit(":", 1)[0]
    columns = [environ["REQUEST_METHOD"], environ["RAW_URI"], environ["PATH_INFO"], host,
               environ.get("HTTP_X_FORWARDED_CLIENT_CERT"), body]
    with open("PLACE/seen", "a") as file:
        print(*map(shown, columns), sep="\t", file=file)
    start_response("200 OK", [("content-length", "4")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"seen"]
