"""Runs nginx with the example of deploy/README.md in front of a server: `cargo xtask test --only deploy` runs this.

    nginx.py README SERVER KEY_FILE DOCUMENT IMAGE

SERVER is the address of a server that trusts the proxy 127.0.0.1, and KEY_FILE has its administrator's key. Needs nginx and
openssl."""

import http.client
import json
import os
import pathlib
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import zlib

# http.body_bytes_max by default, and client_max_body_size of the example.
BODY_BYTES_MAX = 100 * 1024 * 1024
# Files of the batch: work for some seconds, so that the first event comes long before the last.
FILES = 3
BOUNDARY = "lector-nginx-test"
WRONG_KEY = f"lk_{'0' * 16}_{'0' * 64}"

# The header with the key, set by `main`.
KEY = {}

CONF = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{plain};
        listen 127.0.0.1:{secure} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        {block}
    }}
}}
"""


def check(condition, message):
    if not condition:
        sys.exit(f"error: {message}")


def example(readme, server):
    """Returns the example of the operator's guide, with the address of this server."""
    found = re.search(r"```nginx\n(.*?)```", pathlib.Path(readme).read_text(), re.DOTALL)
    check(found, "the operator's guide has no nginx example")
    address = "http://127.0.0.1:8080"
    check(address in found[1], f"the example names no {address}")
    return found[1].replace(address, server)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def start(folder, block, ports):
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=proxy", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    conf = folder / "nginx.conf"
    conf.write_text(CONF.format(folder=folder, block=block, plain=ports[0], secure=ports[1]))
    nginx = subprocess.Popen(["nginx", "-p", folder, "-c", conf, "-e", "stderr"])
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and nginx.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", ports[1]), timeout=1).close()
            return nginx
        except OSError:
            time.sleep(0.02)
    nginx.kill()
    sys.exit("error: nginx does not start with the example")


def connection(port, secure=None):
    if secure:
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=120, context=secure)
    return http.client.HTTPConnection("127.0.0.1", port, timeout=120)


def request(port, method, path, body=None, headers=(), secure=None):
    client = connection(port, secure)
    client.request(method, path, body=body, headers={**KEY, **dict(headers)})
    answer = client.getresponse()
    data = answer.read()
    client.close()
    return answer, data


def metric(port, name):
    answer, text = request(port, "GET", "/metrics")
    check(answer.status == 200, f"/metrics: {answer.status}")
    found = re.search(rf"^{name} (\S+)$", text.decode(), re.MULTILINE)
    check(found, f"there is no {name}")
    return float(found[1])


def events_arrive_as_they_are_made(port, server_port, document):
    parts = []
    for index in range(FILES):
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{index}.pdf"\r\n'
        parts.append(f"{head}Content-Type: application/pdf\r\n\r\n".encode() + document + b"\r\n")
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    client = connection(port)
    headers = {**KEY, "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    client.request("POST", "/api/v1/ocr/batch?text_layer=never", body=body, headers=headers)
    answer = client.getresponse()
    check(answer.status == 200, f"batch: {answer.status}")
    first = json.loads(answer.readline())
    page = None
    while page is None:
        event = json.loads(answer.readline())
        page = event if event.get("event", event.get("type")) == "page" else None
    # Read from the server itself, while the answer is on its way.
    reading = metric(server_port, "lector_documents_in_flight")
    rest = [json.loads(line) for line in answer]
    client.close()
    check(reading >= 1, "the first page arrived when the server had read everything: nginx buffers")
    check(rest, "there was nothing after the first page")
    return f"the first of {2 + len(rest)} events came while {reading:.0f} documents were being read ({first.get('event', first.get('type'))})"


def png_of(image, size):
    """Returns the PNG with a chunk that no reader knows, so that the file has this size."""
    head, rest = image[:33], image[33:]  # the signature and IHDR
    content = bytes(size - len(image) - 12)
    kind = b"paDd"
    return head + struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)) + rest


def large_bodies(port, image):
    headers = {"Content-Type": "image/png"}
    path = "/api/v1/ocr?format=text"
    wanted, small = request(port, "POST", path, image, headers)
    check(wanted.status == 200 and small.strip(), f"an image: {wanted.status} {small[:300]}")
    large = png_of(image, BODY_BYTES_MAX)
    check(len(large) == BODY_BYTES_MAX, "the image has another size")
    answer, text = request(port, "POST", path, large, headers)
    check(answer.status == 200, f"an image of {len(large)} bytes: {answer.status} {text[:300]}")
    check(text == small, f"the large image has another text: {text[:300]}")
    answer, _ = request(port, "POST", path, headers={**headers, "Content-Length": str(BODY_BYTES_MAX + 1)})
    check(answer.status == 413, f"one byte more: {answer.status}")
    return f"{len(large)} bytes are read, one more is refused"


def answers_before_the_body(port):
    """Sends a head that the server refuses and the first byte of a body: with a buffered body no answer would come."""
    with socket.create_connection(("127.0.0.1", port), timeout=15) as client:
        head = "POST /api/v1/ocr?no_such_option=1 HTTP/1.1\r\nHost: proxy\r\nContent-Length: 1000000\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in KEY.items())
        client.sendall(f"{head}\r\nx".encode())
        try:
            line = client.makefile("rb").readline()
        except TimeoutError:
            line = b""
    check(line.split()[1:2] == [b"400"], f"an unknown option, without the rest of the body: {line or 'no answer'}")
    return "a refusal arrives before the body is sent"


def clients_have_their_addresses(port):
    """Fails to authenticate as one client until the server throttles it, and then once as another client. The addresses that a
    client itself claims to forward for must not count."""

    def client(address):
        return http.client.HTTPConnection("127.0.0.1", port, timeout=120, source_address=(address, 0))

    def code(client, claimed):
        client.request("GET", "/api/v1/usage", headers={"X-Api-Key": WRONG_KEY, "X-Forwarded-For": claimed})
        return json.loads(client.getresponse().read())["code"]

    one, other = client("127.0.0.2"), client("127.0.0.3")
    codes = []
    while len(codes) < 250 and codes[-1:] != ["auth_throttled"]:
        codes.append(code(one, f"192.0.2.{len(codes)}"))
    check(codes[-1] == "auth_throttled", f"{len(codes)} wrong keys of a client were not throttled: {set(codes)}")
    found = code(other, "127.0.0.2")
    check(found == "key_invalid", f"another client has the limit of the first: {found}")
    one.close()
    other.close()
    return f"a client is throttled after {len(codes)} wrong keys, whatever it claims, and another one is not"


def links(ports, image, certificate):
    secure = ssl.create_default_context(cafile=certificate)
    path = "/documentintelligence/documentModels/prebuilt-read:analyze?api-version=2024-11-30"
    headers = {"Content-Type": "application/octet-stream"}
    schemes = []
    for port, context in ((ports[0], None), (ports[1], secure)):
        answer, text = request(port, "POST", path, image, headers, context)
        check(answer.status == 202, f"analyze: {answer.status} {text[:300]}")
        link, start = answer.getheader("operation-location"), f"http{'s' if context else ''}://127.0.0.1:{port}/"
        check(link.startswith(start), f"the link {link} does not start with {start}")
        answer, text = request(port, "GET", link[len(start) - 1 :], secure=context)
        check(answer.status == 200, f"{link}: {answer.status} {text[:300]}")
        schemes.append(link.split("/")[0])
    return f"links have the address and the scheme of the client ({' and '.join(schemes)})"


def main():
    readme, server, key_file, document, image = sys.argv[1:]
    KEY["X-Api-Key"] = pathlib.Path(key_file).read_text().strip()
    document, image = pathlib.Path(document).read_bytes(), pathlib.Path(image).read_bytes()
    server_port = int(server.rsplit(":", 1)[1])
    ports = free_ports(2)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # The worker of an nginx that root starts is another user.
        os.chmod(folder, 0o755)
        nginx = start(folder, example(readme, server), ports)
        try:
            print("nginx:", events_arrive_as_they_are_made(ports[0], server_port, document))
            print("nginx:", answers_before_the_body(ports[0]))
            print("nginx:", clients_have_their_addresses(ports[0]))
            print("nginx:", links(ports, image, folder / "certificate.pem"))
            print("nginx:", large_bodies(ports[0], image))
        finally:
            nginx.send_signal(signal.SIGTERM)
            nginx.wait()


main()
