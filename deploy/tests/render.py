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


class Refused(Exception):
    """helm or kubectl did not render, and why."""


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
