"""What a measurement was made on and with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

_PACKAGES = {
    "bbolt": "golang-github-coreos-bbolt-dev",
    "containerd": "golang-github-containerd-containerd-dev",
}


def machine(folder: Path) -> dict[str, str]:
    """Describe the machine; `folder` lies on the disk that is measured."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"Linux {platform.release()}",
        "file system": _file_system(folder),
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


def versions() -> dict[str, str]:
    """Return the versions of both sides."""
    theirs = {name: _debian(package) for name, package in _PACKAGES.items()}
    compiler = _output("go", "env", "GOVERSION").removeprefix("go")
    ours = {"Orlop": version("orlop"), "Python": platform.python_version()}
    return {**ours, **theirs, "Go": compiler}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(folder: Path) -> str:
    return _output("stat", "--file-system", "--format=%T", str(folder))


def _debian(package: str) -> str:
    stated = _output("dpkg-query", "--show", "--showformat=${source:Upstream-Version}", package)
    return stated.partition("~")[0]  # what follows says how Debian packed it


def _output(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
