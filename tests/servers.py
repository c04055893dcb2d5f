#!/usr/bin/env python3
"""Starts the servers that tests of object stores talk to, runs a command, and ends them.

usage: servers.py [--moto PYTHON] [--azurite AZURITE] [--liar S3S_FS] -- COMMAND ...

PYTHON must be able to import `moto.server`.

Each server listens on a free port of the loopback interface and keeps its data in memory, or in a
folder that is removed afterwards. The command finds them in its environment:

  HIGHWATER_TEST_S3        a faithful S3 interface, with the bucket `highwater-test`, and with
                           `highwater-versions`, which keeps all versions of its objects
  HIGHWATER_TEST_AZURE     a Blob interface, with the container `highwater-test`
  HIGHWATER_TEST_S3_LIAR   an S3 interface that looks before it writes, so that two racing creations
                           may both win
"""

import argparse
import base64
import datetime
import hashlib
import hmac
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

BUCKET = "highwater-test"
VERSIONED = "highwater-versions"

# The account of every Azurite, published by its makers: no secret.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

STARTS_WITHIN = 60  # seconds

# One request at a time: its threads look and then write, so that on a busy machine two racing
# creations could both win. (A server of one thread would wait for whoever connects and says nothing.)
MOTO = """
import io, sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

application = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()

def one_at_a_time(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    with turn:
        return list(application(environ, start_response))

run_simple("127.0.0.1", int(sys.argv[1]), one_at_a_time, threaded=True)
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(command, port):
    """Starts a server and waits until it listens."""
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.1)
    server.kill()
    raise SystemExit(f"{command[0]} did not start")


def put(url, headers, body=b""):
    request = urllib.request.Request(url, data=body, method="PUT", headers=headers)
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except urllib.error.HTTPError as error:
            if error.code == 409:  # it is there
                return
            raise SystemExit(f"{url}: {error} {error.read()[:400]}")
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def make_container(endpoint):
    """Creates the container: a signed request, in the way of the Blob interface."""
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%a, %d %b %Y %H:%M:%S GMT")
    version = "2021-08-06"
    headers = f"x-ms-date:{date}\nx-ms-version:{version}\n"
    resource = f"/{ACCOUNT}/{ACCOUNT}/{BUCKET}\nrestype:container"
    text = "PUT" + "\n" * 12 + headers + resource
    digest = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    signature = base64.b64encode(digest).decode()
    put(
        f"{endpoint}/{ACCOUNT}/{BUCKET}?restype=container",
        {
            "x-ms-date": date,
            "x-ms-version": version,
            "Authorization": f"SharedKey {ACCOUNT}:{signature}",
            "Content-Type": "",
        },
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--moto")
    parser.add_argument("--azurite")
    parser.add_argument("--liar")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    # The command may hold a `--` of its own.
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    environment = dict(os.environ)
    servers = []
    with tempfile.TemporaryDirectory(prefix="highwater-servers-") as folder:
        try:
            if arguments.moto:
                port = free_port()
                servers.append(start([arguments.moto, "-c", MOTO, str(port)], port))
                endpoint = f"http://127.0.0.1:{port}"
                xml = {"Content-Type": "application/xml"}
                for bucket in (BUCKET, VERSIONED):
                    put(f"{endpoint}/{bucket}", xml)
                enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
                put(f"{endpoint}/{VERSIONED}?versioning", xml, enabled)
                environment["HIGHWATER_TEST_S3"] = endpoint
            if arguments.azurite:
                port = free_port()
                server = [arguments.azurite, "--inMemoryPersistence", "--skipApiVersionCheck"]
                server += ["--silent", "--blobHost", "127.0.0.1", "--blobPort", str(port)]
                servers.append(start(server, port))
                endpoint = f"http://127.0.0.1:{port}"
                make_container(endpoint)
                environment["HIGHWATER_TEST_AZURE"] = endpoint
            if arguments.liar:
                port = free_port()
                os.mkdir(os.path.join(folder, BUCKET))
                server = [arguments.liar, "--host", "127.0.0.1", "--port", str(port)]
                server += ["--access-key", "test", "--secret-key", "canary-8f3a1c", folder]
                servers.append(start(server, port))
                environment["HIGHWATER_TEST_S3_LIAR"] = f"http://127.0.0.1:{port}"
            return subprocess.run(command, env=environment).returncode
        finally:
            for server in servers:
                server.terminate()
            for server in servers:
                server.wait(timeout=20)


if __name__ == "__main__":
    sys.exit(main())
