"""That Fairlead takes what the manifests give it: each container's own command line, and the
configuration beside it, read by the image's binary."""

import tempfile
import unittest
from pathlib import Path

import yaml

from image import Failed, run, unpack
from render import BASE, command, daemon, files, kustomize, pod, renderings

UNDERSTOOD = "understood.conf"


def read(objects, container, text=None):
    """What the binary makes of a container's configuration, or of another in its place, and what it says."""
    given = files(objects, container)
    if text is not None:
        [name] = [each for each in given if each.endswith("/config.conf")]
        given[name] = text
    with tempfile.TemporaryDirectory() as folder:
        rootfs = unpack(folder, given)
        said = run(*command(container), f"--write-config-to=/{UNDERSTOOD}", rootfs=rootfs)
        return yaml.safe_load((Path(rootfs) / UNDERSTOOD).read_text()), said


class Configuration(unittest.TestCase):
    """The configuration and the command line of every rendering that brings them."""

    def test_is_understood(self):
        tried = 0
        for name, objects in renderings().items():
            if ("ConfigMap", "fairlead") not in objects:
                continue
            given = yaml.safe_load(objects["ConfigMap", "fairlead"]["data"]["config.conf"])
            for container in [daemon(objects), *pod(objects).get("initContainers", [])]:
                with self.subTest(rendering=name, container=container["name"]):
                    understood, said = read(objects, container)
                    self.assertEqual(said, "")
                    self.assert_holds(understood, given)
                    tried += 1
        self.assertGreater(tried, 8)

    def assert_holds(self, understood, given):
        """Every field that was given is there, whatever was added."""
        for field, value in given.items():
            if isinstance(value, dict):
                self.assert_holds(understood[field], value)
            else:
                self.assertEqual(understood[field], value, field)

    def test_mistakes_are_refused(self):
        base = kustomize(BASE)
        container = daemon(base)
        text = base["ConfigMap", "fairlead"]["data"]["config.conf"]
        for wrong, complaint in [
            (text.replace("clusterCIDR:", "clusterCidr:"), "clusterCidr"),
            (text.replace("mode: nftables", "mode: nftable"), "nftable"),
            (text.replace("oomScoreAdj: -997", "oomScoreAdj: -1001"), "oomScoreAdj"),
        ]:
            self.assertNotEqual(wrong, text)
            with self.subTest(complaint), self.assertRaisesRegex(Failed, complaint):
                read(base, container, wrong)
        with self.assertRaisesRegex(Failed, "--startup-tain"):
            read(base, container | {"command": [*container["command"], "--startup-tain=x"]})


if __name__ == "__main__":
    unittest.main()
