"""fastavro's side of the check: it reads what handprint wrote, and writes what
handprint is to read.

    check.py read REGISTRY FILE        every record of FILE is decoded by its schema from the registry,
                                       encoded again and compared byte for byte
    check.py write REGISTRY N SEED     N random observations and some identity events, by the newest schemas
                                       of the subjects named in SUBJECTS, a JSON line each
    check.py fixtures FOLDER OUT       the same in small by the schemas in FOLDER, and by relatives of them

A line of a file is a JSON object: topic, key, and the value in base64. Written
records have beside it the same record as JSON says it.
"""

import base64
import collections
import io
import json
import os
import random
import struct
import sys
import urllib.request

import fastavro


class Registry:
    """The schemas of a registry with Confluent's API, each asked for once."""

    def __init__(self, url):
        self.url = url
        self.known = {}

    def get(self, path):
        with urllib.request.urlopen(self.url + path, timeout=30) as answer:
            return json.load(answer)

    def by_id(self, number):
        if number not in self.known:
            self.known[number] = fastavro.parse_schema(json.loads(self.get(f"/schemas/ids/{number}")["schema"]))
        return self.known[number]

    def newest(self, subject):
        answer = self.get(f"/subjects/{subject}/versions/latest")
        return answer["id"], fastavro.parse_schema(json.loads(answer["schema"]))


def encode(number, schema, record):
    out = io.BytesIO()
    out.write(struct.pack(">bI", 0, number))
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def read(registry, file):
    """Decodes and encodes again; the first difference ends it."""
    equal, other = collections.Counter(), collections.Counter()
    for line in open(file, encoding="utf-8"):
        record = json.loads(line)
        value = record["value"]
        if value is None:
            other[record["topic"], "tombstones"] += 1
            continue
        value = base64.b64decode(value)
        if value[:1] != b"\0":
            if not record["mixed"]:
                sys.exit(f"{record['topic']}: a record that is not Avro: {value[:80]}")
            other[record["topic"], "in JSON, from elsewhere"] += 1
            continue
        number = struct.unpack(">I", value[1:5])[0]
        schema = registry.by_id(number)
        rest = io.BytesIO(value[5:])
        decoded = fastavro.schemaless_reader(rest, schema)
        if rest.read():
            sys.exit(f"{record['topic']}: bytes behind the record: {value}")
        if encode(number, schema, decoded) != value:
            sys.exit(f"{record['topic']}: encoded again it differs: {value}")
        equal[record["topic"]] += 1
    for topic in sorted({*equal, *(topic for topic, _ in other)}):
        rest = "".join(f", {n} {what}" for (t, what), n in sorted(other.items()) if t == topic)
        print(f"{topic:<55} {equal[topic]} records, byte for byte{rest}")
    if not equal:
        sys.exit("there was no Avro record")


class Maker:
    """Makes random records that are right, as JSON has them."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def text(self, least=0):
        alphabet = ['a', 'Z', '0', ' ', '"', '\\', '/', '\n', '\t', '\0', '\x1f', '\x7f', 'é', 'ß', '\u2028', '\ufeff', '水', '😀', '\U0010ffff']
        return "".join(self.random.choice(alphabet) for _ in range(self.random.randint(least, 12)))

    def number(self):
        r = self.random
        return r.choice([
            lambda: r.randint(-9, 9), lambda: r.randint(-2**53, 2**53), lambda: r.randint(-2**70, 2**70), lambda: 10**r.randint(0, 300),
            lambda: r.uniform(-1, 1), lambda: r.uniform(-8e307, 8e307), lambda: 5e-324, lambda: -0.0, lambda: 1.7976931348623157e308,
            lambda: struct.unpack(">d", struct.pack(">Q", r.getrandbits(62)))[0],
        ])()

    def value(self, depth=0):
        r = self.random
        kinds = [lambda: None, lambda: r.random() < 0.5, self.number, self.text]
        if depth < 4:
            kinds += [
                lambda: [self.value(depth + 1) for _ in range(r.randint(0, 4))],
                lambda: {self.text(): self.value(depth + 1) for _ in range(r.randint(0, 4))},
            ]
        return r.choice(kinds)()

    def observation(self, i, attackers):
        r = self.random
        o = {
            "attacker_uuid": attackers[i % len(attackers)], "primitive": r.choice(["lab.one", "lab.two_2", "lab.three.deep"]),
            "value": self.value(), "evidence_ref": f"{i}-{self.text()}", "ts": 1.7e9 + i + r.random(),
        }
        for name, value in [
            ("id", self.text()), ("confidence", r.random()), ("window_start_ts", self.random.uniform(0, 2e9)), ("window_end_ts", r.randint(0, 2**31)),
            ("source", self.text()), ("envelope_v", 1), ("identity_ref", self.text()),
        ]:
            if r.random() < 0.5:
                o[name] = value
        return o

    def events(self, attackers, identities):
        """One event of each type for every four attackers; no attacker and no identity is in two."""
        for i in range(0, len(attackers) - 4, 4):
            identity = identities[i // 4]
            yield {"type": "identity.formed", "identity_uuid": identity, "observation_uuids": attackers[i:i + 2]}
            yield {"type": "identity.observation.linked", "identity_uuid": identity, "observation_uuid": attackers[i + 2]}

    def other_events(self):
        for kind in ["identity.merged", "identity.unmerged"]:
            yield {"type": kind, "winner_uuid": self.text(1), "loser_uuid": self.text(1), "observation_uuids": [self.text(1) for _ in range(3)]}
            yield {"type": kind, "winner_uuid": self.text(1), "loser_uuid": self.text(1)}


def as_avro(record):
    """The record with its value as the JSON text that Avro carries."""
    out = dict(record)
    if "value" in out:
        out["value"] = json.dumps(out["value"], ensure_ascii=False)
    return out


def line(out, what, key, avro, record, **more):
    json.dump({"topic": what, "key": key, "value": base64.b64encode(avro).decode(), "json": json.dumps(record), **more}, out)
    out.write("\n")


def write(registry, subjects, count, seed, out):
    maker = Maker(seed)
    attackers = [f"{i}-{maker.text()}" for i in range(40)]
    identities = [f"identity {i} {maker.text()}".replace("/", "") for i in range(10)]
    number, schema = registry.newest(subjects["observation"])
    for i in range(count):
        o = maker.observation(i, attackers)
        line(out, "observation", o["attacker_uuid"], encode(number, schema, as_avro(o)), o)
    number, schema = registry.newest(subjects["identity_event"])
    for e in maker.events(attackers, identities):
        line(out, "identity_event", e["identity_uuid"], encode(number, schema, e), e)


def relatives(schema):
    """The schema, and schemas that others may write by: its fields in another
    order, with further fields before, between and behind, and without what
    readers have a default for."""
    yield schema
    fields = schema["fields"]
    yield {**schema, "fields": fields[::-1]}
    more = {"type": ["null", {"type": "map", "values": {"type": "array", "items": ["long", "string", "float"]}}]}
    yield {**schema, "fields": [{"name": "extra_1", **more}, *fields[:3], {"name": "extra_2", **more}, *fields[3:], {"name": "extra_3", **more}]}
    yield {**schema, "fields": [f for f in fields if "default" not in f or f["name"] in ("type", "winner_uuid", "loser_uuid")]}
    narrow = {"double": "float", "string": "bytes"}
    yield {**schema, "fields": [{**f, "type": narrow.get(f["type"], f["type"])} if isinstance(f["type"], str) and f["name"] in ("source", "evidence_ref") else f for f in fields]}


def fixtures(folder, out):
    maker = Maker(6)
    for name in ["observation", "identity_event"]:
        schema = json.load(open(os.path.join(folder, name + ".avsc"), encoding="utf-8"))
        for part in [schema, *schema["fields"]]:
            del part["doc"]
        for number, relative in enumerate(relatives(schema)):
            parsed = fastavro.parse_schema(json.loads(json.dumps(relative)))
            fields = {f["name"]: f for f in relative["fields"]}
            if name == "observation":
                records = [maker.observation(i, [maker.text(1), "127.0.0.1"]) for i in range(8)]
            else:
                records = [*maker.events([maker.text(1) for _ in range(5)], [maker.text(1)]), *maker.other_events()]
            for record in records:
                record = {k: v for k, v in record.items() if k in fields}
                if name == "identity_event" and record["type"].endswith(("formed", "linked")) and "identity_uuid" not in fields:
                    continue
                avro = as_avro(record)
                for k, f in fields.items():
                    if k.startswith("extra_"):
                        avro[k] = maker.random.choice([None, {maker.text(): [1, "two", 0.5]}])
                    elif f["type"] == "bytes":
                        avro[k] = avro[k].encode()
                line(out, name, "", encode(number, parsed, avro), record, schema=json.dumps(relative))


def main():
    command, rest = sys.argv[1], sys.argv[2:]
    out = open(sys.stdout.fileno(), "w", encoding="utf-8", newline="\n", closefd=False)
    if command == "read":
        read(Registry(rest[0]), rest[1])
    elif command == "write":
        write(Registry(rest[0]), json.loads(os.environ["SUBJECTS"]), int(rest[1]), int(rest[2]), out)
    elif command == "fixtures":
        fixtures(rest[0], out)
    else:
        sys.exit(__doc__)


main()
