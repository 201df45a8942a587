"""Runs the merge vectors: python3 vectors.py testdata/vectors/merge.jsonl"""

import json
import math
import sys

from mergers import Series, canonical, conclude


def check(line):
    v = json.loads(line)
    want, series = v["expect"], Series()
    got = ("unknown", "null", 0, 0, 0)
    for i, e in enumerate(v["series"]):
        series.take(e["ts"], i, i, canonical(e["value"]), v["kind"])
        got = conclude(v["kind"], [series])
    state, value, confidence, count, ts = got
    same = canonical(want["current_value"]) == value
    if not same and v["kind"] == "NUMERIC" and want["current_value"] is not None:
        same = math.isclose(want["current_value"], float(value), rel_tol=1e-9)
    return same and state == want["state"] and count == want["observation_count"] \
        and ts == want["last_observation_ts"] and math.isclose(confidence, want["confidence"], rel_tol=1e-9)


def main():
    passed = failed = 0
    with open(sys.argv[1], encoding="utf-8") as f:
        for line in f:
            if check(line):
                passed += 1
            else:
                failed += 1
                print("failed:", line.strip())
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
