"""What a glob means, and that look-alikes are never meant."""

from __future__ import annotations

from itertools import product

import pytest

from webhook.model.policy_glob import MEANING, BadGlob, GlobTable, read_glob


@pytest.mark.parametrize(
    ("glob", "repository", "covered"),
    [
        ("contoso.azurecr.io", "contoso.azurecr.io/shop", True),
        ("contoso.azurecr.io", "contoso.azurecr.io/team/shop", True),
        ("contoso.azurecr.io", "contoso.azurecr.io.evil.example/shop", False),
        ("contoso.azurecr.io", "ContoSo.azurecr.io/shop", True),
        ("contoso.azurecr.io", "contoso.azurecr.io:443/shop", False),
        ("*.azurecr.io", "contoso.azurecr.io/shop", True),
        ("*.azurecr.io", "a.b.azurecr.io/shop", False),
        ("*.azurecr.io", "evilazurecr.io/shop", False),
        ("*.azurecr.io", "azurecr.io/shop", False),
        ("*.azurecr.io", "contoso-azurecr.io/shop", False),
        ("*.dkr.ecr.*.amazonaws.com", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a", True),
        ("docker.io/contoso/*", "docker.io/contoso/app", True),
        ("docker.io/contoso/*", "docker.io/contoso/team/app", True),
        ("docker.io/contoso/*", "docker.io/contoso", False),
        ("docker.io/contoso/*", "docker.io/contoso-evil/app", False),
        ("docker.io/contoso", "docker.io/contoso/app", False),
        ("docker.io/*/app", "docker.io/a/b/app", True),
        ("docker.io/*/app", "docker.io/app/app/app", True),
        ("docker.io/*/app", "docker.io/app", False),
        ("docker.io/*/app", "docker.io/a/app/b", False),
        ("docker.io/*/*", "docker.io/a", False),
        ("docker.io/*/*", "docker.io/a/b/c", True),
        ("docker.io/a/*/b/*/c", "docker.io/a/b/b/b/c/c", True),
        ("docker.io/a/*/b/*/c", "docker.io/a/x/b/c", False),
        ("docker.io/a/*/b/*/c", "docker.io/a/x/bb/x/c", False),
        ("docker.io/library/nginx", "docker.io/library/nginx", True),
        ("localhost:5000", "localhost:5000/a", True),
        ("registry.example:5000/a", "registry.example:5000/a", True),
        ("registry.example/a.b", "registry.example/aXb", False),
    ],
)
def test_covers(glob: str, repository: str, covered: bool) -> None:
    assert read_glob(glob).covers(repository) is covered
    assert bool(GlobTable([(read_glob(glob), 1)]).find(repository)) is covered


def test_stars_mean_what_they_say_one_by_one() -> None:
    """Held against the plain meaning: a star takes one part and, where it likes, what is left once more."""

    def meant(glob: tuple[str, ...], path: tuple[str, ...]) -> bool:
        if not glob or not path:
            return not glob and not path
        if glob[0] != "*":
            return glob[0] == path[0] and meant(glob[1:], path[1:])
        return meant(glob[1:], path[1:]) or meant(glob, path[1:])

    globs = [one for length in range(1, 5) for one in product("*ab", repeat=length)]
    paths = [one for length in range(1, 6) for one in product("ab", repeat=length)]
    for glob in globs:
        covers = read_glob("/".join(("docker.io", *glob))).covers
        assert [path for path in paths if covers("/".join(("docker.io", *path)))] == [
            path for path in paths if meant(glob, path)
        ]


def test_a_tenants_glob_and_image_never_keep_everybody_waiting() -> None:
    """Any namespace's owner may write both; tried one after another, the ways to fit them would outlast the cluster."""
    longest = "docker.io/" + "/".join("a" * 120)
    assert not read_glob("docker.io/" + "*/" * 60 + "z").covers(longest)
    assert not read_glob("docker.io/" + "*/a/" * 40 + "z").covers(longest)
    assert read_glob("docker.io" + "/*/a" * 40).covers(longest)


@pytest.mark.parametrize(
    "glob",
    ["*azurecr.io", "*", "a..io", "*.io", "contoso.*.io", "nginx", "docker.io/a*", "docker.io/", "docker.io/A"],
)
def test_refused(glob: str) -> None:
    with pytest.raises(BadGlob) as refused:
        read_glob(glob)
    assert str(refused.value) == f"`{glob}` says no images: {MEANING}"


def test_the_most_specific_comes_first() -> None:
    table = GlobTable(
        [(read_glob(text), text) for text in ("*.azurecr.io", "contoso.azurecr.io", "contoso.azurecr.io/win/*")]
    )
    assert table.find("contoso.azurecr.io/win/a") == ("contoso.azurecr.io/win/*", "contoso.azurecr.io", "*.azurecr.io")
    assert table.first("other.azurecr.io/win/a") == "*.azurecr.io"
    assert table.first("ghcr.io/a") is None
