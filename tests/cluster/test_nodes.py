"""A cluster is looked at before a run begins on it; what is missing is named."""

from __future__ import annotations

import pytest

from cluster.nodes import check_versions, installed_versions
from costeer.errors import ConfigError


def test_a_node_like_this_one_is_fine() -> None:
    ours = installed_versions()
    assert ours["numpy"]
    check_versions("10.0.0.7", ours, ours)
    # Code that a job brought along is not installed.
    sent_along = {name: value for name, value in ours.items() if name != "costeer-lab"}
    check_versions("10.0.0.7", ours, sent_along)


@pytest.mark.parametrize(("name", "found"), [("numpy", "1.26.4"), ("torch", None)])
def test_another_version_is_named(name: str, found: str | None) -> None:
    ours = installed_versions()
    theirs = {key: value for key, value in ours.items() if key != name}
    if found is not None:
        theirs[name] = found
    with pytest.raises(ConfigError, match=rf"10\.0\.0\.7 has {name} {found or 'none'}, the driver"):
        check_versions("10.0.0.7", ours, theirs)
