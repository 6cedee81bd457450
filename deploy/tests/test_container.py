"""The image as a container that may do what deploy/kustomize/base says and no more, run by runc: what
the kubelet has containerd do, without either."""

import json
import os
import re
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

from image import OBJECTS, unpack
from render import BASE, command, daemon, files, kustomize

# Debian's golang-github-containers-common: the default of podman and CRI-O, like containerd's.
SECCOMP = Path("/usr/share/containers/seccomp.json")

# Of /proc, what containerd lets containers that are not privileged only read, and not see.
READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/scsi"]

PATIENCE = 20  # seconds


class Container:
    """A container in a network namespace of its own. Gone after `with`."""

    def __init__(self, security, files, command):
        self.name = f"fl-deploy-{os.getpid()}"
        self.security = security
        self.files = files
        self.command = command
        self.process = None

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        bundle = Path(self.folder.name)
        unpack(bundle, self.files)
        subprocess.run(["ip", "netns", "add", self.name], check=True)
        self.inside("ip", "link", "set", "lo", "up")
        self.log = (bundle / "log").open("w+")
        self.start()
        return self

    def start(self):
        """Has runc run the command."""
        bundle = Path(self.folder.name)
        (bundle / "config.json").write_text(json.dumps(self.describe()))
        self.process = subprocess.Popen(["runc", "run", "--bundle", bundle, self.name],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)

    def then(self, *command):
        """Runs another command in the same place once the one before has ended. Its exit code."""
        self.command = list(command)
        self.start()
        return self.process.wait(PATIENCE)

    def __exit__(self, *_):
        subprocess.run(["runc", "kill", self.name, "KILL"], check=False, stderr=subprocess.DEVNULL)
        self.process.wait(PATIENCE)
        subprocess.run(["runc", "delete", "--force", self.name], check=False, stderr=subprocess.DEVNULL)
        subprocess.run(["ip", "netns", "delete", self.name], check=True)
        self.log.close()
        self.folder.cleanup()

    def inside(self, *command):
        """What a program prints in the container's network."""
        return subprocess.run(["ip", "netns", "exec", self.name, *command],
                              check=True, capture_output=True, text=True).stdout

    def said(self):
        """The log so far."""
        self.log.seek(0)
        return self.log.read()

    def describe(self):
        """The container as the OCI's runtime specification has it."""
        capabilities = [f"CAP_{name}" for name in self.security["capabilities"].get("add", [])]
        user = self.security["runAsUser"]
        return {
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs", "readonly": self.security["readOnlyRootFilesystem"]},
            "process": {
                "user": {"uid": user, "gid": 0},
                "cwd": "/",
                "args": self.command,
                "capabilities": dict.fromkeys(["bounding", "effective", "permitted"], capabilities),
                "noNewPrivileges": not self.security["allowPrivilegeEscalation"],
            },
            "mounts": [
                {"type": "proc", "source": "proc", "destination": "/proc"},
                {"type": "sysfs", "source": "sysfs", "destination": "/sys", "options": ["ro"]},
                {"type": "tmpfs", "source": "tmpfs", "destination": "/dev"},
            ],
            "linux": {
                "namespaces": [{"type": "pid"}, {"type": "mount"},
                               {"type": "network", "path": f"/run/netns/{self.name}"}],
                "readonlyPaths": READ_ONLY,
                "maskedPaths": MASKED,
                "seccomp": seccomp(capabilities),
            },
        }


def seccomp(capabilities):
    """The default profile as it is for these capabilities."""
    profile = json.loads(SECCOMP.read_text())
    processor = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]

    def applies(rule):
        includes, excludes = rule.get("includes", {}), rule.get("excludes", {})
        return (set(includes.get("caps", [])) <= set(capabilities)
                and processor in includes.get("arches", [processor])
                and not set(excludes.get("caps", [])) & set(capabilities)
                and processor not in excludes.get("arches", []))

    known = ["names", "action", "errnoRet", "args"]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "syscalls": [{name: rule[name] for name in known if rule.get(name) is not None}
                     for rule in profile["syscalls"] if applies(rule)],
    }


def wait_for(what, ask):
    """Asks until the answer is yes."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if ask():
            return
        time.sleep(0.1)
    raise AssertionError(f"{what}: not after {PATIENCE} s")


class SecurityContext(unittest.TestCase):
    """What the DaemonSet allows is enough for what it runs, and not more than that."""

    def setUp(self):
        base = kustomize(BASE)
        container = daemon(base)
        self.security = container["securityContext"]
        # A score below what it has is out of the reach of a container here; the kubelet gives its pods this one.
        own = Path("/proc/self/oom_score_adj").read_text().strip()
        self.files = {name: re.sub("(?m)^oomScoreAdj: .*", f"oomScoreAdj: {own}", text)
                      for name, text in files(base, container).items()}
        self.files["objects.yaml"] = OBJECTS
        # There is no API server here.
        self.command = [*command(container), "--manifests=/objects.yaml"]

    def container(self, *arguments):
        """What the DaemonSet runs, with more arguments."""
        return Container(self.security, self.files, [*self.command, *arguments])

    def test_is_enough(self):
        with self.container() as container:
            wait_for("healthy", lambda: answers(container) or container.process.poll() is not None)
            self.assertIsNone(container.process.poll(), container.said())
            self.assertIn("10.96.0.80", container.inside("nft", "list", "table", "ip", "fairlead"))
            for complaint in ["WARN", "ERROR"]:
                self.assertNotIn(complaint, container.said())
            subprocess.run(["runc", "kill", container.name, "TERM"], check=True)
            self.assertEqual(container.process.wait(PATIENCE), 0)

    def test_the_way_back_needs_no_more(self):
        with self.container("--once") as container:
            self.assertEqual(container.process.wait(PATIENCE), 0, container.said())
            self.assertIn("fairlead", container.inside("nft", "list", "tables"))
            self.assertEqual(container.then("/usr/local/bin/fairlead", "cleanup"), 0, container.said())
            self.assertEqual(container.inside("nft", "list", "tables"), "")

    def test_nothing_in_it_can_be_left_out(self):
        self.security["capabilities"]["add"].remove("NET_ADMIN")
        with self.container() as container:
            self.assertNotEqual(container.process.wait(PATIENCE), 0)
            self.assertIn("CAP_NET_ADMIN", container.said())


def answers(container):
    """Whether the daemon says that it is well."""
    try:
        container.inside("python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:10256/healthz')")
    except subprocess.CalledProcessError:
        return False
    return True


if __name__ == "__main__":
    unittest.main()
