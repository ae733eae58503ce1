"""File systems in files, for power cuts and full disks. Mounts belong to the
mount namespace of the test run (conftest.py) and end with it at the latest;
every loop device clears itself with its mount."""

import pathlib
import subprocess
import tempfile


def call(*args):
    r = subprocess.run([str(a) for a in args], capture_output=True,
                       text=True, check=False)
    assert r.returncode == 0, f"{args}: {r.stdout}{r.stderr}"


class Mount:
    def __init__(self, source, at, options="loop", kind=None):
        self.at = pathlib.Path(at)
        self.at.mkdir(parents=True, exist_ok=True)
        call("mount", *(["-t", kind] if kind else []), "-o", options, source,
             self.at)
        self.on = True

    def close(self):
        if self.on:
            self.on = False
            # Lazily: what a dead daemon held goes with it.
            call("umount", "--lazy", self.at)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def make_file(path, size):
    with open(path, "wb") as f:
        f.truncate(size)
    return path


class PowerDisk:
    """An ext4 whose journal commits only for a sync, in a file whose state at
    an instant can be kept: the file lies in an XFS, where a reflink copies a
    file as it is between two writes. What the file system was not told to
    sync is not in it; what it had submitted is."""

    OPTIONS = "loop,commit=300,noauto_da_alloc"

    def __init__(self, folder, size=256 << 20):
        folder = pathlib.Path(folder)
        # In memory: the real disk of the machine must not set the pace.
        backing = make_file(folder / "xfs.img", 2 << 30)
        call("mkfs.xfs", "-q", "-m", "reflink=1", backing)
        self.outer = Mount(backing, folder / "xfs")
        self.image = make_file(folder / "xfs" / "disk.img", size)
        call("mkfs.ext4", "-q", "-F", "-E",
             "lazy_itable_init=0,lazy_journal_init=0", self.image)
        self.inner = Mount(self.image, folder / "disk", self.OPTIONS)
        self.at = self.inner.at
        self.folder = folder
        self.taken = 0

    def cut(self):
        """The disk as a power cut now would leave it: its image."""
        image = self.folder / "xfs" / f"cut{self.taken}.img"
        self.taken += 1
        call("cp", "--reflink=always", self.image, image)
        return image

    def restore(self, image):
        """Mounts such an image: the journal is replayed."""
        at = tempfile.mkdtemp(prefix="cut", dir=self.folder)
        return Mount(image, at, "loop")

    def close(self):
        self.inner.close()
        self.outer.close()


def small_tmpfs(at, size="4m", inodes=0):
    options = f"size={size},mode=0700"
    if inodes:
        options += f",nr_inodes={inodes}"
    return Mount("tmpfs", at, options, "tmpfs")


def small_ext4(folder, size=24 << 20, inodes=0, options="loop"):
    image = make_file(pathlib.Path(folder) / "small.img", size)
    call("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal",
         *(["-N", inodes] if inodes else []), image)
    m = Mount(image, pathlib.Path(folder) / "small", options)
    return m
