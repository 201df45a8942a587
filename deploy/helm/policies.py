"""Checks rendered manifests: Kubernetes' schemas, and the policies that every
pod of the chart keeps. Prints one line for each fault; exit status 1 if any."""
import sys

import kubernetes_validate
import yaml

CUSTOM = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}  # their schemas are not Kubernetes'


def pod_faults(spec):
    security = spec.get("securityContext", {})
    if not security.get("runAsNonRoot"):
        yield "runs as root"
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        yield "has no seccomp profile"
    if spec.get("automountServiceAccountToken") is not False:
        yield "mounts a service account token that it does not need"
    if spec.get("hostNetwork") or spec.get("hostPID") or spec.get("hostIPC"):
        yield "uses the host's namespaces"
    if any("hostPath" in v for v in spec.get("volumes") or []):
        yield "mounts the host's files"
    for c in spec["containers"] + spec.get("initContainers", []):
        own = c.get("securityContext", {})
        if not own.get("readOnlyRootFilesystem"):
            yield f"{c['name']}: its root file system can be written"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{c['name']}: may gain privileges"
        if own.get("capabilities", {}).get("drop") != ["ALL"]:
            yield f"{c['name']}: keeps capabilities"
        limits = c.get("resources", {}).get("limits", {})
        requests = c.get("resources", {}).get("requests", {})
        if not limits.get("memory") or limits.get("memory") != requests.get("memory"):
            yield f"{c['name']}: memory is not requested as it is limited"
        if not requests.get("cpu"):
            yield f"{c['name']}: requests no CPU"
        if "livenessProbe" not in c or "readinessProbe" not in c:
            yield f"{c['name']}: has no probes"
        if c["image"].endswith(":latest") or (":" not in c["image"].rsplit("/", 1)[-1] and "@" not in c["image"]):
            yield f"{c['name']}: its image has no version"
        env = {e["name"]: e for e in c.get("env", [])}
        if len(env) != len(c.get("env", [])):
            yield f"{c['name']}: a variable is given twice"
        if "GOMEMLIMIT" not in env:
            yield f"{c['name']}: GOMEMLIMIT is not set"
        for name, e in env.items():
            if ("PASSWORD" in name or "SECRET" in name or "TOKEN" in name) and "value" in e and not e["value"].startswith("/"):
                yield f"{c['name']}: {name} holds a secret"


def main(path):
    faults, pods, kinds = [], 0, []
    with open(path) as file:
        documents = [d for d in yaml.safe_load_all(file) if d]
    for d in documents:
        kinds.append(d["kind"])
        where = f"{path}: {d['kind']} {d['metadata']['name']}"
        if d["kind"] not in CUSTOM:
            try:
                kubernetes_validate.validate(d, "1.37", strict=True)
            except kubernetes_validate.ValidationError as err:
                faults.append(f"{where}: {'.'.join(map(str, err.path))}: {err.message}")
        spec = d.get("spec", {}).get("template", {}).get("spec")
        if spec:
            pods += 1
            faults += [f"{where}: {fault}" for fault in pod_faults(spec)]
    if not pods:
        faults.append(f"{path}: no pods")
    for fault in faults:
        print(fault)
    if not faults:
        print(f"{path}: {len(documents)} objects, {pods} kinds of pods: as they should be")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
