#!/usr/bin/env bash
# botocore 1.44.8: for two hours a year the same timestamp, read twice from a service, is not equal to itself.
#
# Services that speak JSON (DynamoDB, ECR, IoT, Secrets Manager …) send times as seconds since 1970. botocore gives an aware
# datetime, so one would expect == to compare instants, whatever the zone. But it is in the machine's own zone, each value has a
# tzinfo object of its own, and to Python a local time that its zone has twice equals nothing of another tzinfo (PEP 495). Seen,
# where clocks go back an hour: in both passes of it a value is unequal to the same field of the next answer and to the same
# instant in UTC, though the difference is 0 and the hashes agree. A poll for "has it changed?" sees a change each time, a set
# keeps all three. Times that a service writes as text (S3's in XML) are given in UTC and not concerned.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check botocore==1.44.8 python-dateutil==2.9.0.post0
cat >"$folder/compare.py" <<'PYTHON'
import datetime
import http.server
import json
import sys
import threading

import botocore
import botocore.session

INSTANTS = {  # Central Europe's clocks go back on 2026-10-25 at 01:00 UTC
    "a day before": "2026-10-24T00:30:00+00:00",
    "first pass of 02:30": "2026-10-25T00:30:00+00:00",
    "second pass of 02:30": "2026-10-25T01:30:00+00:00",
    "an hour later": "2026-10-25T02:30:00+00:00",
}
sent = 0.0


class Table(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({"Table": {"TableName": "devices", "CreationDateTime": sent}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Table)
threading.Thread(target=server.serve_forever, daemon=True).start()
session = botocore.session.get_session()
session.set_credentials("AKIDEXAMPLE", "secret")
dynamodb = session.create_client("dynamodb", region_name="eu-west-1", endpoint_url=f"http://127.0.0.1:{server.server_port}")
seen = {}
for name, text in INSTANTS.items():
    instant = datetime.datetime.fromisoformat(text)
    sent = instant.timestamp()
    first, second = (dynamodb.describe_table(TableName="devices")["Table"]["CreationDateTime"] for _ in range(2))
    seen[name] = (first == second, first == instant, len({first, second, instant}))
    same = first - second == datetime.timedelta() and hash(first) == hash(second) and first.timestamp() == sent
    print(f"{name}: {first} == itself {seen[name][0]}, == UTC {seen[name][1]}, in a set {seen[name][2]}; difference 0: {same}")
    assert same
normal, doubled = (True, True, 1), (False, False, 3)
sys.exit(list(seen.values()) != [normal, doubled, doubled, normal])
PYTHON
env -i PATH="$PATH" HOME="$folder" TZ="CET-1CEST,M3.5.0,M10.5.0/3" "$folder/venv/bin/python" "$folder/compare.py" ||
  { echo "it behaves otherwise now"; exit 1; }
