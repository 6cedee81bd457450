"""Renders what is under deploy/ as users do, with kubectl and helm."""

import subprocess
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
BASE = ROOT / "deploy/kustomize/base"
COMPONENTS = ROOT / "deploy/kustomize/components"
EXAMPLE = ROOT / "deploy/kustomize/example"
CHART = ROOT / "deploy/helm/fairlead"
PROGRAMS = ROOT / "target/deploy/bin"

# What base has where a cluster's address belongs.
API_SERVER = "https://control-plane.invalid:6443"

EVERYTHING = {
    "nodeSettings": {"enabled": True},
    "metricsService": {"enabled": True},
    "imagePullSecrets": [{"name": "registry"}],
    "startupTaint": "fairlead.dev/starting",
    "podAnnotations": {"fairlead.dev/note": "a note"},
    "config": {"clusterCIDR": "10.244.0.0/16,fd00:10:244::/56"},
}


class Refused(Exception):
    """helm or kubectl did not render, and why."""


def renderings():
    """Every shape that users get, by name."""
    components = sorted(folder.name for folder in COMPONENTS.iterdir())
    return {
        "base": kustomize(BASE),
        "example": kustomize(EXAMPLE),
        **{f"base with {name}": base_with(name) for name in components},
        "base with all components": base_with(*components),
        "chart": helm(),
        "chart with everything": helm(EVERYTHING),
        "chart with kubeadm's ConfigMap": helm({"apiServer": "", "existingConfigMap": "kube-proxy"}),
    }


def pod(objects):
    """The pod that the DaemonSet makes."""
    return objects["DaemonSet", "fairlead"]["spec"]["template"]["spec"]


def daemon(objects):
    """The container that goes on running."""
    [container] = pod(objects)["containers"]
    return container


def command(container):
    """What a container runs on the node node1."""
    return [word.replace("$(NODE_NAME)", "node1") for word in container["command"]]


def files(objects, container):
    """The files that a container finds, by path, unless they are of a ConfigMap of the cluster's."""
    [mount] = [each for each in container["volumeMounts"] if each["name"] == "config"]
    folder = mount["mountPath"].lstrip("/")
    return {f"{folder}/{name}": text for name, text in objects["ConfigMap", "fairlead"]["data"].items()}


def kustomize(folder):
    """The objects of a kustomization."""
    return objects(run(PROGRAMS / "kubectl", "kustomize", folder))


def base_with(*components):
    """The objects of base with components, by name."""
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        relative = Path("../..") / "deploy/kustomize"
        text = yaml.safe_dump({
            "resources": [str(relative / "base")],
            "components": [str(relative / "components" / name) for name in components],
        })
        (Path(folder) / "kustomization.yaml").write_text(text)
        return kustomize(folder)


def helm(values=None):
    """The objects of the chart, as a release that is called fairlead."""
    values = {"apiServer": API_SERVER} | (values or {})
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return objects(run(PROGRAMS / "helm", "template", "fairlead", CHART,
                           "--namespace=kube-system", "--kube-version=1.36", "--values", file.name))


def objects(text):
    """A rendering's objects, by kind and name."""
    found = [document for document in yaml.safe_load_all(text) if document]
    named = {(each["kind"], each["metadata"]["name"]): each for each in found}
    if len(named) != len(found):
        raise Refused("an object is there twice")
    return named


def run(*command):
    """What a program prints."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout
