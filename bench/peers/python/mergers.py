"""The mergers of docs/attribution.md, and the series they look at, in plain Python."""

import json
import math
from bisect import insort
from pathlib import Path

WINDOW = 5
MINIMUM = 3
MAJORITY = 4
ALPHA = 0.3
DRIFT_SHIFT = 0.30
CONFLICT_CV = 1.0
MOST_ROTATIONS = 2
CAP = 0.6
KEPT = 32
HASH_WINDOW = 24 * 3600
HASH_VALUES = 4096


def registry(path=Path(__file__).parents[3] / "attribution" / "primitives.json"):
    """The kind of each primitive."""
    with open(path, encoding="utf-8") as f:
        return {p["name"]: p["kind"] for p in json.load(f)["primitives"]}


def canonical(value):
    """A text that is the same exactly for equal values."""
    return json.dumps(numbers(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def numbers(value):
    """The value with every number as JSON writes it: integers without a point."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, (int, float)):
        try:
            f = float(value)
        except OverflowError:
            raise ValueError("a number is not finite") from None
        if not math.isfinite(f):
            raise ValueError("a number is not finite")
        return int(f) if f == int(f) and abs(f) < 1e15 else f
    if isinstance(value, list):
        return [numbers(v) for v in value]
    return {k: numbers(v) for k, v in value.items()}


def fits(kind, value):
    """Whether a value fits a kind."""
    if kind is None:
        return True
    if kind == "HASH":
        return value is None or isinstance(value, str) and value != ""
    if value is None:
        return True
    if kind == "NUMERIC":
        return isinstance(value, (bool, int, float))
    if kind == "BOOL":
        return isinstance(value, bool)
    if kind == "ARRAY":
        return isinstance(value, list)
    return isinstance(value, str)


class Series:
    """One attacker's observations of one primitive: the newest 32, and the count of all."""

    __slots__ = ("count", "entries", "gone")

    def __init__(self):
        self.count = 0
        self.entries = []  # (ts, arrival, evidence, value), sorted
        self.gone = {}  # HASH: latest ts of values that were pushed out

    def take(self, ts, arrival, evidence, value, kind):
        for i, e in enumerate(self.entries):
            if e[2] == evidence:
                del self.entries[i]
                insort(self.entries, (ts, e[1], evidence, value), key=lambda e: e[:2])
                self.forget(kind)
                return
        self.count += 1
        if len(self.entries) >= KEPT and ts < self.entries[0][0]:
            return
        insort(self.entries, (ts, arrival, evidence, value), key=lambda e: e[:2])
        if len(self.entries) > KEPT:
            out = self.entries.pop(0)
            if kind == "HASH" and out[3] != "null":
                self.gone[out[3]] = max(out[0], self.gone.get(out[3], out[0]))
        self.forget(kind)

    def forget(self, kind):
        if kind != "HASH" or not self.gone:
            return
        since = self.entries[-1][0] - HASH_WINDOW
        self.gone = {v: ts for v, ts in self.gone.items() if ts >= since}
        while len(self.gone) > HASH_VALUES:
            del self.gone[min(self.gone, key=lambda v: (self.gone[v], v))]


def conclude(kind, many):
    """(state, value as canonical JSON, confidence, count, last ts) of the union of series."""
    count = sum(s.count for s in many)
    if len(many) == 1:
        entries = many[0].entries
    else:
        entries = sorted((e for s in many for e in s.entries), key=lambda e: e[:2])
    last = entries[-1]
    if kind == "HASH":
        return hashes(many, entries, last, count)
    if count < MINIMUM:
        value = canonical(number(last[3])) if kind == "NUMERIC" else last[3]
        return "unknown", value, 0, count, last[0]
    recent = [e[3] for e in entries[-WINDOW:]]
    older = [e[3] for e in entries[-2 * WINDOW:-WINDOW]]
    merger = numeric if kind == "NUMERIC" else categorical
    return *merger(recent, older), count, last[0]


def top(window):
    """The most frequent value, of several the one seen first, and how often."""
    best = max(window, key=window.count)
    return best, window.count(best)


def clear(most, size):
    return most >= min(MAJORITY, size)


def categorical(recent, older):
    best, most = top(recent)
    confidence = most / len(recent)
    if not clear(most, len(recent)):
        flips = sum(a != b for a, b in zip(recent, recent[1:]))
        repeats = len(recent) - 1 - flips
        if len(recent) >= 4 and len(set(recent)) == 2 and flips >= 2 * max(repeats, 1):
            return "multi_actor", recent[-1], min(confidence, CAP)
        return "conflicted", recent[-1], confidence
    if older:
        before, times = top(older)
        if not clear(times, len(older)) or before != best:
            return "drifting", best, confidence
    return "stable", best, confidence


def number(text):
    return {"true": 1.0, "false": 0.0, "null": 0.0}.get(text) if text[0] in "tfn" else float(text)


def ewma(values):
    s = values[0]
    for v in values[1:]:
        s = ALPHA * v + (1 - ALPHA) * s
    return s


def numeric(recent, older):
    recent, older = [number(v) for v in recent], [number(v) for v in older]
    # Ratios are worked out on values divided by the largest, so that nothing overflows.
    scale = max(abs(v) for v in recent + older) or 1.0
    recent, older = [v / scale for v in recent], [v / scale for v in older]
    mean = ewma(recent)
    value = canonical(mean * scale)
    spread = math.sqrt(sum((v - mean) ** 2 for v in recent) / len(recent))
    cv = spread / abs(mean) if mean else (1e9 if spread else 0)
    if cv > CONFLICT_CV:
        return "conflicted", value, 0.5
    confidence = max(0, 1 - min(cv, 1))
    if older:
        was = ewma(older)
        shift = abs(mean - was) / abs(was) if was else abs(mean) * scale
        if shift >= DRIFT_SHIFT:
            return "drifting", value, confidence
    return "stable", value, confidence


def hashes(many, entries, last, count):
    since = last[0] - HASH_WINDOW
    seen = {e[3] for e in entries if e[0] >= since and e[3] != "null"}
    for s in many:
        seen.update(v for v, ts in s.gone.items() if ts >= since)
    rotations = max(0, len(seen) - 1)
    state = "stable" if rotations == 0 else "drifting" if rotations <= MOST_ROTATIONS else "conflicted"
    return state, last[3], 1 / (1 + rotations), count, last[0]
