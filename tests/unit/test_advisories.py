"""Known holes: versions are read as their projects write them, and fall inside the right spans."""

from __future__ import annotations

import pytest

from vibe.sandbox.advisories import ADVISORIES, number, open_holes, versions


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("1.0.0-rc6", "1.0.0-rc7"),
        ("1.0.0-rc95", "1.0.0"),
        ("1.1.9", "1.1.12"),
        ("1.1.5+ds1", "1.2"),
        ("5.10.101", "5.10.102"),
        ("v1.6.20~ds1", "1.7.0"),
        ("1.0.0~rc93+ds1", "1.0.0~rc95"),
    ],
)
def test_versions_compare_as_people_mean_them(older: str, newer: str) -> None:
    assert number(older) < number(newer)


@pytest.mark.parametrize(
    ("part", "version", "holes"),
    [
        ("runc", "1.0.0-rc6", 4),
        ("runc", "1.1.11", 2),
        ("runc", "1.1.12", 1),
        ("runc", "1.2.8", 0),
        ("runc", "1.3.2", 1),
        ("runc", "1.3.3", 0),
        ("containerd", "1.4.2", 1),
        ("containerd", "1.6.20~ds1", 0),
        ("Linux", "5.15.24", 1),
        ("Linux", "5.15.25", 0),
        ("Linux", "5.17.0-rc1", 0),
        ("Linux", "4.4.0", 1),
        ("Linux", "6.18.44-fc-v657", 0),
        ("runc", "unknown", 0),
        ("runc", "", 0),
    ],
)
def test_a_hole_is_found_in_the_versions_that_have_it(part: str, version: str, holes: int) -> None:
    found = open_holes({part: version})
    assert len(found) == holes
    assert all(hole.part == part for hole in found)


def test_a_daemon_says_the_versions_of_its_parts() -> None:
    said = {
        "Components": [{"Name": "Engine", "Version": "20.10"}, {"Name": "runc", "Version": "1"}]
    }
    assert versions(said, {"KernelVersion": "6.1"}) == {
        "Linux": "6.1",
        "Docker": "20.10",
        "runc": "1",
    }
    assert versions({}, {}) == {"Linux": ""}


def test_every_span_goes_upwards() -> None:
    for advisory in ADVISORIES:
        for first, mended in advisory.spans:
            assert number(first) < number(mended), advisory.name
