"""The image that scripts/image makes: what docker, podman and containerd will find in it, and that
its binary needs nothing else."""

import gzip
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tempfile
import tomllib
import unittest
from pathlib import Path

from image import ARCHIVE, OBJECTS, ROOT, ROOTFS, run, unpack

# kube-proxy's image is ten times this. Who makes ours much larger is to notice.
LARGEST = 16 << 20


def sha256(data):
    """A digest as images write it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Archive(unittest.TestCase):
    """The archive, read as a container engine reads it."""

    @classmethod
    def setUpClass(cls):
        with tarfile.open(ARCHIVE) as archive:
            cls.members = archive.getmembers()
            cls.files = {each.name: archive.extractfile(each).read() for each in cls.members if each.isfile()}
        [cls.entry] = cls.json("index.json")["manifests"]
        cls.manifest = json.loads(cls.blob(cls.entry))
        cls.config = json.loads(cls.blob(cls.manifest["config"]))
        [cls.layer] = [cls.blob(layer) for layer in cls.manifest["layers"]]
        cls.version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]

    @classmethod
    def json(cls, name):
        """A file of the archive."""
        return json.loads(cls.files[name])

    @classmethod
    def blob(cls, descriptor):
        """What a descriptor names; digest and size have to be as it says."""
        data = cls.files["blobs/" + descriptor["digest"].replace(":", "/")]
        assert sha256(data) == descriptor["digest"], descriptor
        assert len(data) == descriptor["size"], descriptor
        return data

    def test_is_an_oci_layout(self):
        self.assertEqual(self.json("oci-layout"), {"imageLayoutVersion": "1.0.0"})
        self.assertEqual(self.json("index.json")["schemaVersion"], 2)
        self.assertEqual(self.manifest["schemaVersion"], 2)
        types = [self.entry, self.manifest["config"], *self.manifest["layers"]]
        self.assertEqual([each["mediaType"] for each in types], [
            "application/vnd.oci.image.manifest.v1+json",
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.oci.image.layer.v1.tar+gzip",
        ])

    def test_has_a_name(self):
        self.assertEqual(self.entry["annotations"], {
            "io.containerd.image.name": f"docker.io/library/fairlead:{self.version}",
            "org.opencontainers.image.ref.name": self.version,
        })
        self.assertEqual(self.config["config"]["Labels"]["org.opencontainers.image.version"], self.version)

    def test_is_what_docker_load_reads_too(self):
        [image] = self.json("manifest.json")
        self.assertEqual(image["RepoTags"], [f"fairlead:{self.version}"])
        self.assertEqual(sha256(self.files[image["Config"]]), self.manifest["config"]["digest"])
        [layer] = image["Layers"]
        self.assertEqual(self.files[layer], self.layer)

    def test_layer_is_the_one_that_is_described(self):
        self.assertEqual(self.config["rootfs"], {
            "type": "layers",
            "diff_ids": [sha256(gzip.decompress(self.layer))],
        })
        processor = {"x86_64": "amd64", "aarch64": "arm64"}[os.uname().machine]
        self.assertEqual((self.config["os"], self.config["architecture"]), ("linux", processor))

    def test_holds_one_file(self):
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as layer:
            files = {each.name: each for each in layer.getmembers() if not each.isdir()}
            binary, link = files.pop("usr/local/bin/fairlead"), files.pop("usr/local/bin/kube-proxy")
            self.assertEqual(layer.extractfile(binary).read(), (ROOTFS / binary.name).read_bytes())
        self.assertEqual(files, {})
        self.assertTrue(binary.isfile() and link.issym())
        self.assertEqual((binary.mode, link.linkname), (0o755, "fairlead"))

    def test_is_small(self):
        self.assertLess((ROOTFS / "usr/local/bin/fairlead").stat().st_size, LARGEST)

    def test_tells_neither_time_nor_place(self):
        with tarfile.open(fileobj=io.BytesIO(self.layer)) as layer:
            for each in [*self.members, *layer.getmembers()]:
                self.assertEqual((each.mtime, each.uid, each.gid, each.uname), (0, 0, 0, ""), each.name)
        binary = (ROOTFS / "usr/local/bin/fairlead").read_bytes()
        for place in [str(ROOT), str(Path.home() / ".cargo")]:
            self.assertNotIn(f"{place}/".encode(), binary)

    def test_is_the_same_again(self):
        # Under another umask, and long after the first.
        subprocess.run(["bash", "-c", "umask 077; exec scripts/image"], cwd=ROOT, check=True,
                       stdout=subprocess.DEVNULL)
        with tarfile.open(ARCHIVE) as archive:
            again = {each.name: archive.extractfile(each).read() for each in archive if each.isfile()}
        self.assertEqual(again.keys(), self.files.keys())
        self.assertEqual(again, self.files)

    def test_the_dockerfile_makes_the_same(self):
        text = (ROOT / "deploy/Dockerfile").read_text()
        stage = text[text.index("FROM scratch AS fairlead"):]
        self.assertEqual(json.loads(re.search(r"^ENTRYPOINT (.*)$", stage, re.M)[1]),
                         self.config["config"]["Entrypoint"])
        self.assertEqual(re.search(r"^USER (.*)$", stage, re.M)[1], self.config["config"]["User"])
        self.assertIn("/usr/local/bin", re.search(r"^ENV PATH=(.*)$", stage, re.M)[1])
        for name, value in self.config["config"]["Labels"].items():
            if not name.endswith(".version"):
                self.assertIn(f'{name}="{value}"', text)


class Binary(unittest.TestCase):
    """The binary, where there is nothing else."""

    def test_is_static(self):
        headers = subprocess.run(["readelf", "--program-headers", ROOTFS / "usr/local/bin/fairlead"],
                                 capture_output=True, text=True, check=True).stdout
        self.assertIn("LOAD", headers)
        self.assertNotIn("INTERP", headers)

    def test_says_its_version(self):
        self.assertEqual(run("/usr/local/bin/fairlead", "--version", rootfs=ROOTFS).split()[0], "fairlead")

    def test_renders(self):
        with tempfile.TemporaryDirectory() as folder:
            rules = run("/usr/local/bin/fairlead", "render", "--manifests", "/objects.yaml",
                        "--hostname-override", "node1", rootfs=unpack(folder, {"objects.yaml": OBJECTS}))
        self.assertIn("10.96.0.80", rules)


if __name__ == "__main__":
    unittest.main()
