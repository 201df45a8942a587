"""Has other people's validators judge a folder that `handprint format files` wrote.

    check.py FOLDER ECS_FLAT.yml.gz EVENTS

Nothing of handprint is used. Each format is judged by its own authority where
Python has one: ocsf-json-schema and py-ocsf-models, ECS's own field list, pycef,
stix2-validator (offline), PyMISP with MISP's schemas. LEEF has none: what its
guide says is checked by hand.
"""

import gzip
import ipaddress
import json
import os
import re
import sys

import jsonschema
import pycef
import pymisp
import yaml
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
from py_ocsf_models.events.findings.detection_finding import DetectionFinding
from stix2validator import ValidationOptions, validate_instance

folder, flat, events = sys.argv[1], sys.argv[2], int(sys.argv[3])
problems = []


def problem(text):
    problems.append(text)
    if len(problems) <= 20:
        print("  " + text[:600], file=sys.stderr)


def lines(name):
    # Only a line feed ends a line: not U+2028, not NEL, not a lone return.
    with open(os.path.join(folder, name), "rb") as f:
        return [line.decode("utf-8") for line in f.read().split(b"\n") if line]


def count(name, have, want):
    if have != want:
        problem(f"{name}: {have} events, not {want}")


def leaves(value, path=""):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    else:
        yield path, value


def check_ocsf():
    schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
    validators = {}
    all_lines = lines("ocsf.ndjson")
    count("ocsf", len(all_lines), events)
    for n, line in enumerate(all_lines, 1):
        event = json.loads(line)
        uid = event["class_uid"]
        if uid not in validators:
            text = schema.get_class_schema(schema.lookup_class_name_from_uid(uid))
            validators[uid] = jsonschema.validators.validator_for(text)(text)
        for error in validators[uid].iter_errors(event):
            problem(f"ocsf:{n}: {error.json_path}: {error.message[:300]}")
        if uid == 2004:
            try:
                DetectionFinding(**event)
            except Exception as error:
                problem(f"ocsf:{n}: py-ocsf-models: {error}")
        if event["type_uid"] != uid * 100 + event["activity_id"]:
            problem(f"ocsf:{n}: type_uid {event['type_uid']}")


def check_ecs():
    with gzip.open(flat) as f:
        fields = yaml.load(f, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    all_lines = lines("ecs.ndjson")
    count("ecs", len(all_lines), events)
    own = {}
    for n, line in enumerate(all_lines, 1):
        for path, value in leaves(json.loads(line)):
            values = value if isinstance(value, list) else [value]
            if not values or any(v is None or v == "" and not path.startswith("handprint.") for v in values):
                problem(f"ecs:{n}: {path} is empty")
            if path.startswith("handprint."):
                kinds = {"number" if isinstance(v, (int, float)) and not isinstance(v, bool) else type(v).__name__ for v in values}
                if own.setdefault(path, kinds) != kinds:
                    problem(f"ecs:{n}: {path} is {kinds}, was {own[path]}")
                continue
            field = fields.get(path)
            if field is None:
                problem(f"ecs:{n}: no such field: {path}")
                continue
            if ("array" in field["normalize"]) != isinstance(value, list):
                problem(f"ecs:{n}: {path} should{'' if isinstance(value, list) else ' not'} be one value")
            for v in values:
                kind = field["type"]
                good = {
                    "date": lambda: re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", v),
                    "long": lambda: isinstance(v, int),
                    "ip": lambda: ipaddress.ip_address(v),
                }.get(kind, lambda: isinstance(v, str))
                try:
                    if not good():
                        raise ValueError
                except (ValueError, TypeError):
                    problem(f"ecs:{n}: {path} is no {kind}: {v!r}")
            allowed = [a["name"] for a in field.get("allowed_values", [])]
            if allowed and not set(values) <= set(allowed):
                problem(f"ecs:{n}: {path}: {values} not among {allowed}")


CEF_KEYS = {"rt", "externalId", "cat", "src", "msg", "c6a2", "c6a2Label", "cn1", "cn1Label", "cfp1", "cfp1Label"} | {
    f"cs{i}{label}" for i in range(1, 7) for label in ("", "Label")
}


def check_cef():
    all_lines = lines("cef.log")
    count("cef", len(all_lines), events)
    for n, line in enumerate(all_lines, 1):
        event = pycef.parse(line)
        if not event:
            problem(f"cef:{n}: pycef reads nothing of {line[:200]!r}")
            continue
        extension = {k for k in event if not k.startswith("Device") and k not in ("CEFVersion", "Name", "Severity")}
        # pycef names a custom field by its label.
        labels = set(re.findall(r" (?:cs\d|cn1|cfp1|c6a2)Label=(\w+) ", line.split("|", 7)[7]))
        if extra := extension - CEF_KEYS - labels:
            problem(f"cef:{n}: fields that nobody wrote: {extra}")
        if re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", line):
            problem(f"cef:{n}: a control character")
        if len(event.get("externalId", "")) > 40 or len(event.get("msg", "").encode()) > 1023 * 2:
            problem(f"cef:{n}: too long")


def check_leef():
    all_lines = lines("leef.log")
    count("leef", len(all_lines), events)
    for n, line in enumerate(all_lines, 1):
        header = line.split("|", 6)
        if len(header) != 7 or header[0] != "LEEF:2.0" or header[5] != "^":
            problem(f"leef:{n}: header {header[:6]}")
            continue
        keys = []
        for part in header[6].split("^"):
            key, equals, _ = part.partition("=")
            keys.append(key)
            if not equals or not re.fullmatch(r"[A-Za-z]+", key):
                problem(f"leef:{n}: no key: {part[:80]!r}")
        if len(set(keys)) != len(keys) or not {"devTime", "sev", "cat", "eventUuid", "identityUuid", "msg"} <= set(keys):
            problem(f"leef:{n}: keys {keys}")
        if re.search(r"[\x00-\x1f\x7f\x85\u2028\u2029]", line):
            problem(f"leef:{n}: a control character")


def check_stix():
    with open(os.path.join(folder, "stix.json"), encoding="utf-8") as f:
        bundle = json.load(f)
    options = ValidationOptions(version="2.1", strict=False)
    ids = {o["id"] for o in bundle["objects"]}
    if len(ids) != len(bundle["objects"]):
        problem("stix: an id stands twice")
    kinds = {}
    for o in bundle["objects"]:
        kinds[o["type"]] = kinds.get(o["type"], 0) + 1
        if o["type"] in ("threat-actor", "campaign", "indicator", "sighting"):
            problem(f"stix: a {o['type']}")
        for name, value in leaves(o):
            if name.endswith(("_ref", "_refs")):
                for ref in value if isinstance(value, list) else [value]:
                    if ref not in ids:
                        problem(f"stix: {o['id']} points to {ref}, which is not there")
        result = validate_instance(o, options)
        if not result.is_valid:
            problem(f"stix: {o['id']}: {[str(e) for e in result.errors][:3]}")
    result = validate_instance({**bundle, "objects": bundle["objects"][:50]}, options)
    if not result.is_valid:
        problem(f"stix: bundle: {[str(e) for e in result.errors][:3]}")
    print("  stix:", ", ".join(f"{n} {k}" for k, n in sorted(kinds.items())))


def check_misp():
    data = os.path.join(os.path.dirname(pymisp.__file__), "data")
    schemas = {}
    for name in ("schema-lax.json", "schema.json"):
        with open(os.path.join(data, name)) as f:
            text = json.load(f)
        schemas[name] = jsonschema.validators.validator_for(text)(text)
    with open(os.path.join(folder, "misp.json"), encoding="utf-8") as f:
        response = json.load(f)["response"]
    if not response:
        problem("misp: no events")
    feed = os.path.join(folder, "misp-feed")
    with open(os.path.join(feed, "manifest.json"), encoding="utf-8") as f:
        manifest = json.load(f)
    if not isinstance(manifest, dict) or len(manifest) != len(response):
        problem("misp: the manifest is no object of all events")
    for n, wrapped in enumerate(response, 1):
        event = wrapped["Event"]
        for error in schemas["schema-lax.json"].iter_errors(wrapped):
            problem(f"misp:{n}: lax: {error.json_path}: {error.message[:200]}")
        strict = {k: v for k, v in event.items() if k not in ("Object", "extends_uuid")}
        for error in schemas["schema.json"].iter_errors({"Event": strict}):
            problem(f"misp:{n}: strict: {error.json_path}: {error.message[:200]}")
        try:
            read = pymisp.MISPEvent()
            read.load(json.dumps(wrapped))
            for a in read.attributes + [a for o in read.objects for a in o.attributes]:
                if a.to_ids or not a.disable_correlation:
                    problem(f"misp:{n}: {a.uuid} is for detection, or correlates")
            for o in read.objects:
                if o._known_template and not o._validate():
                    problem(f"misp:{n}: {o.uuid} does not fit its template")
        except Exception as error:
            problem(f"misp:{n}: PyMISP: {error!r}")
        with open(os.path.join(feed, event["uuid"] + ".json"), encoding="utf-8") as f:
            if json.load(f) != wrapped:
                problem(f"misp:{n}: the feed has another event")
        if manifest.get(event["uuid"], {}).get("timestamp") != event["timestamp"]:
            problem(f"misp:{n}: the manifest has another timestamp")
    print(f"  misp: {len(response)} events")


for check in (check_ocsf, check_ecs, check_cef, check_leef, check_stix, check_misp):
    before = len(problems)
    check()
    name = check.__name__.removeprefix("check_")
    print(f"{name}: {'good' if len(problems) == before else f'{len(problems) - before} problems'}", flush=True)
sys.exit(1 if problems else 0)
