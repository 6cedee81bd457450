"""The image's files, and its binary at work where there is nothing else."""

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "target/image/fairlead.tar"
ROOTFS = ROOT / "target/image/rootfs"
OBJECTS = (ROOT / "crates/fairlead/src/demo/nginx.yaml").read_text()


class Failed(Exception):
    """A command of the image ended badly, and what it said."""


def unpack(folder, files):
    """The image's files below a folder, and others, by path."""
    rootfs = shutil.copytree(ROOTFS, Path(folder) / "rootfs", symlinks=True)
    for name, text in files.items():
        path = rootfs / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return rootfs


def run(*command, rootfs):
    """What a command says that has this folder for its root."""
    root = [] if os.getuid() == 0 else ["unshare", "--map-root-user"]
    done = subprocess.run([*root, "chroot", rootfs, *command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(f"{' '.join(command)}: {done.stderr}")
    return done.stdout + done.stderr
