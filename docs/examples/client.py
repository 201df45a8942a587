"""Reads the HTTP API of handprint with Python's standard library alone.

    HANDPRINT_TOKEN=hp_... python3 client.py http://127.0.0.1:8480
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request


class Client:
    def __init__(self, base, token):
        self.base = base.rstrip("/") + "/api/v1"
        self.token = token

    def get(self, path, **parameters):
        """Returns the answer of a route; waits where it is told to."""
        url = self.base + path
        if parameters:
            url += "?" + urllib.parse.urlencode(parameters, doseq=True)
        request = urllib.request.Request(url, headers={"Authorization": "Bearer " + self.token})
        for attempt in range(5):
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as refused:
                problem = json.load(refused)
                wait = refused.headers.get("Retry-After")
                if refused.code not in (429, 503) or wait is None or attempt == 4:
                    raise RuntimeError("%(title)s: %(detail)s" % {"detail": "", **problem}) from refused
                time.sleep(float(wait))

    def pages(self, path, **parameters):
        """Yields the items of all pages of a list."""
        while True:
            page = self.get(path, **parameters)
            yield from page["items"]
            if "next_cursor" not in page:
                return
            parameters["cursor"] = page["next_cursor"]


def main():
    client = Client(sys.argv[1], os.environ["HANDPRINT_TOKEN"])
    for suspicion in client.pages("/suspicions", current="true"):
        address = suspicion.get("address", {}).get("address", "")
        print(suspicion["identity_uuid"], address, suspicion["confidence"], suspicion["evidence_summary"])
    for identity in client.pages("/identities", state=["conflicted", "multi_actor"]):
        print(identity["identity_uuid"], identity["attackers"], identity["states"])


if __name__ == "__main__":
    main()
