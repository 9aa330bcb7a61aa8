#!/usr/bin/env bash
# botocore 1.44.8: credentials that a container endpoint hands out already expired end a call with a bare RuntimeError.
#
# A device whose clock runs ahead, or an endpoint that serves from a cache, gives well-formed credentials whose Expiration has
# passed. One would expect what botocore raises for every other credential trouble: a BotoCoreError (NoCredentialsError,
# CredentialRetrievalError), which `except (BotoCoreError, ClientError)` catches. Seen: RuntimeError("Credentials were
# refreshed, but the refreshed credentials are still expired."), which no handler for botocore's errors catches.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check botocore==1.44.8
cat >"$folder/ask.py" <<'PYTHON'
import datetime
import http.server
import json
import os
import sys
import threading

import botocore
import botocore.exceptions
import botocore.session


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        ended = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
        answer = {"AccessKeyId": "AKIDEXAMPLE", "SecretAccessKey": "secret", "Token": "token"}
        body = json.dumps({**answer, "Expiration": ended.strftime("%Y-%m-%dT%H:%M:%SZ")}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://127.0.0.1:{server.server_port}/"
sts = botocore.session.get_session().create_client("sts", region_name="eu-west-1", endpoint_url="http://127.0.0.1:9")
try:
    sts.get_caller_identity()
    seen = "no error"
except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
    seen = f"one of botocore's errors: {type(error).__name__}"
except Exception as error:
    seen = f"{type(error).__name__}: {error}"
print(f"botocore {botocore.__version__}, expired credentials from the container endpoint: {seen}")
sys.exit(not seen.startswith("RuntimeError: Credentials were refreshed"))
PYTHON
env -i PATH="$PATH" HOME="$folder" "$folder/venv/bin/python" "$folder/ask.py" || { echo "it behaves otherwise now"; exit 1; }
