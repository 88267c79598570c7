"""Fixtures of all tests: the real programs on this machine, and the skips without them.

A test that needs a real part says which: `@pytest.mark.real("containerd", "ctr")`. Where one
is missing it is skipped, and the reason names the Debian package that brings it. With
ORLOP_REQUIRE_REAL_PARTS=1 in the environment such a skip is a failure: continuous integration
must not pass because something was not installed.

And what surrounds the run is the same wherever it is started: nohup, cron and many build systems
start with SIGINT ignored, with a umask of their own, or without HOME.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import orlop
import slow_tests
from campaigns.tally import summary

if TYPE_CHECKING:
    from collections.abc import Generator

REQUIRE_REAL_PARTS = "ORLOP_REQUIRE_REAL_PARTS"

INTERPRETED_ONLY = "cannot run where modules are compiled"

GOPATH_SOURCES = Path("/usr/share/gocode/src")

PACKAGES = {
    "bbolt": "golang-github-coreos-bbolt-dev",
    "bsdtar": "libarchive-tools",
    "busybox": "busybox-static",
    "containerd": "containerd",
    "containerd-go": "golang-github-containerd-containerd-dev",
    "ctr": "containerd",
    "debootstrap": "debootstrap",
    "go": "golang-go",
    "runc": "runc",
    "skopeo": "skopeo",
    "strace": "strace",
    "umoci": "umoci",
}
"""The parts that a test may ask for, each with the Debian package that brings it."""

SOURCES = {
    "bbolt": GOPATH_SOURCES / "go.etcd.io/bbolt",
    "containerd-go": GOPATH_SOURCES / "github.com/containerd/containerd",
}
"""The parts that are Go source and not a program on PATH."""


_BEGUN = pytest.StashKey[float]()


def pytest_configure() -> None:
    """Set the inherited process state that tests rely on, in each worker process."""
    # A handler, not SIG_DFL: a program that a test starts then begins with the system's default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)
    if "HOME" not in os.environ and "XDG_CACHE_HOME" not in os.environ:
        # Go refuses to build without a place for its cache.
        os.environ.setdefault("GOCACHE", str(Path(tempfile.gettempdir(), "orlop-go-build")))


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of golden databases; its files are for reading only."""
    return Path(__file__).parent / "data"


def is_missing(part: str) -> bool:
    """Return whether this machine lacks a part."""
    if part in SOURCES:
        return not SOURCES[part].is_dir()
    return shutil.which(part) is None


def reason_to_skip(item: pytest.Item) -> str | None:
    """Return why a test cannot run on this machine, None when it can."""
    parts = {part for mark in item.iter_markers("real") for part in mark.args}
    lacking = sorted(part for part in parts if is_missing(part))
    if lacking:
        packages = " ".join(sorted({PACKAGES[part] for part in lacking}))
        return f"needs {', '.join(lacking)}: apt-get install {packages}"
    if item.get_closest_marker("root") is not None and os.geteuid() != 0:
        return "needs root"
    return None


def reason_to_interpret(item: pytest.Item) -> str | None:
    """Return why a test cannot run where modules are compiled, None when it can."""
    mark = item.get_closest_marker("interpreted")
    if mark is None or not orlop.accelerated:
        return None
    return f"{INTERPRETED_ONLY}: {mark.args[0]}"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option behind `make slow-tests`."""
    parser.addoption(
        "--write-slow-tests", action="store_true", help="write tests/slow_tests.txt as measured"
    )


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests, and skip tests that need a program that is not installed."""
    listed = slow_tests.listed()
    for item in items:
        if mark := slow_tests.folder_mark(item.nodeid):
            item.add_marker(mark)
        if slow_tests.function_of(item.nodeid) in listed:
            item.add_marker("listed")
        unknown = {part for mark in item.iter_markers("real") for part in mark.args} - set(PACKAGES)
        if unknown:
            raise pytest.UsageError(f"{item.nodeid} needs {unknown}, which no package here brings")
        if reason := reason_to_interpret(item) or reason_to_skip(item):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin to measure the processor time of a test."""
    item.stash[_BEGUN] = slow_tests.processor_seconds()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip of a real or root test into a failure where all parts must be there."""
    report = yield
    if report.when == "teardown" and _BEGUN in item.stash:
        taken = slow_tests.processor_seconds() - item.stash[_BEGUN]
        report.user_properties.append((slow_tests.PROPERTY, taken))
    required = os.environ.get(REQUIRE_REAL_PARTS) == "1" and reason_to_interpret(item) is None
    marked = any(item.get_closest_marker(name) for name in ("real", "root"))
    if required and marked and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{REQUIRE_REAL_PARTS}=1 forbids this skip: {reason}"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the campaigns' tallies; here, since a parallel run reads no other conftest."""
    reports = [
        report
        for several in terminalreporter.stats.values()
        for report in several
        if isinstance(report, pytest.TestReport)
    ]
    if terminalreporter.config.getoption("--write-slow-tests"):
        slow_tests.write(slow_tests.measured(reports))
    if lines := list(summary(reports)):
        terminalreporter.section("campaigns")
        for line in lines:
            terminalreporter.write_line(line)
