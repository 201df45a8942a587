"""A consumer as the origin of this design has it: a loop, a dict, at least once.

Its state lives in memory and is gone when it ends. It knows the identity events
"formed" and "linked", which it reads before it begins, and no merges.

    python3 peer.py --brokers=127.0.0.1:9092
"""

import argparse
import hashlib
import json
import sys
import threading
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

from mergers import Series, canonical, conclude, fits, registry


def murmur2(data):
    """The hash of Kafka's default partitioner, without its sign."""
    mask = 0xFFFFFFFF
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i:i + 4], "little") * 0x5BD1E995 & mask
        k = (k ^ k >> 24) * 0x5BD1E995 & mask
        h = h * 0x5BD1E995 & mask ^ k
    if len(data) > whole:
        h = (h ^ int.from_bytes(data[whole:], "little")) * 0x5BD1E995 & mask
    h = (h ^ h >> 13) * 0x5BD1E995 & mask
    return (h ^ h >> 15) & 0x7FFFFFFF


def stub(attacker):
    """The identity of an attacker that nobody has linked."""
    text = attacker.encode()
    raw = bytearray(murmur2(text).to_bytes(4, "big") + hashlib.sha256(b"handprint.stub.v1\0" + text).digest()[:12])
    raw[6] = raw[6] & 0x0F | 0x80
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


class Rows:
    def __init__(self):
        self.kinds = registry()
        self.rows = {}  # (identity, primitive): [state, last change, {attacker: series}]
        self.links = {}
        self.stubs = {}

    def identity(self, attacker):
        linked = self.links.get(attacker)
        if linked:
            return linked
        if attacker not in self.stubs:
            self.stubs[attacker] = stub(attacker)
        return self.stubs[attacker]

    def link(self, event):
        if event.get("type") == "identity.formed":
            for a in event.get("observation_uuids") or []:
                self.links[a] = event["identity_uuid"]
        elif event.get("type") == "identity.observation.linked":
            self.links[event["observation_uuid"]] = event["identity_uuid"]

    def take(self, record, arrival):
        """The row as it is now, and the transition or None."""
        o = json.loads(record)
        attacker, primitive, evidence, ts = o["attacker_uuid"], o["primitive"], o["evidence_ref"], o["ts"]
        kind = self.kinds.get(primitive)
        if not attacker or not evidence or not ts >= 0 or not fits(kind, o["value"]):
            raise ValueError("bad record")
        identity = self.identity(attacker)
        row = self.rows.setdefault((identity, primitive), [None, 0, {}])
        series = row[2].get(attacker)
        if series is None:
            series = row[2][attacker] = Series()
        series.take(ts, arrival, evidence, canonical(o["value"]), kind)
        state, value, confidence, count, last = conclude(kind, list(row[2].values()))
        event = None
        common = {"identity_uuid": identity, "primitive": primitive, "current_value": json.loads(value),
                  "confidence": confidence, "observation_count": count}
        if state != row[0]:
            event = {"event_id": str(uuid.uuid4()), **common, "old_state": row[0], "new_state": state, "ts": last}
            row[0], row[1] = state, last
        return {**common, "state": state, "last_change_ts": row[1], "last_observation_ts": last,
                "schema_version": 1, "updated_at": time.time()}, event


def read_links(settings, rows):
    consumer = Consumer({"bootstrap.servers": settings.brokers, "group.id": settings.application + "-links",
                         "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    partition = TopicPartition(settings.identity_events, 0, 0)
    end = consumer.get_watermark_offsets(partition, timeout=30)[1]
    consumer.assign([partition])
    seen = 0
    while seen < end:
        message = consumer.poll(1.0)
        if message is not None and message.error() is None:
            rows.link(json.loads(message.value()))
            seen = message.offset() + 1
    consumer.close()


def main():
    parser = argparse.ArgumentParser()
    for name in ("brokers", "application", "observations", "identity-events", "state-changed", "state", "dead-letter", "dir", "threads"):
        parser.add_argument("--" + name, default="")
    settings = parser.parse_args()

    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()

    rows = Rows()
    read_links(settings, rows)
    consumer = Consumer({"bootstrap.servers": settings.brokers, "group.id": settings.application,
                         "enable.auto.commit": False, "auto.offset.reset": "earliest"})
    consumer.subscribe([settings.observations])
    producer = Producer({"bootstrap.servers": settings.brokers, "compression.type": "lz4", "linger.ms": 5,
                         "queue.buffering.max.messages": 1000000})
    while not ended.is_set():
        messages = consumer.consume(5000, timeout=0.05)
        for m in messages:
            if m.error() is not None:
                raise RuntimeError(m.error())
            try:
                row, event = rows.take(m.value(), (m.timestamp()[1], m.partition(), m.offset()))
            except (ValueError, KeyError, TypeError) as e:
                producer.produce(settings.dead_letter, m.value(), m.key(), headers=[("reason", repr(e))])
                continue
            if event:
                producer.produce(settings.state_changed, json.dumps(event), row["identity_uuid"])
            producer.produce(settings.state, json.dumps(row), row["identity_uuid"] + "/" + row["primitive"])
            producer.poll(0)
        if messages:
            producer.flush()
            consumer.commit(asynchronous=False)
    consumer.close()


main()
