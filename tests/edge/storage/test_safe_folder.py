"""Which folders others could change, with real files; another user's only where the tests may make them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.storage.safe_folder import foreign, mend, mend_all, unsafe

ANYBODY = 65_534
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder three deep, in a place that is safe up to the top."""
    found = tmp_path / "home" / "place" / "state"
    found.mkdir(parents=True)
    assert unsafe(found) is None
    return found


def anybodys(path: Path) -> Path:
    os.chown(path, ANYBODY, ANYBODY, follow_symlinks=False)
    return path


@pytest.mark.parametrize("mode", [0o777, 0o757])
@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_folder_on_the_way_that_others_may_write_is_named(folder: Path, mode: int, up: int) -> None:
    place = (folder, *folder.parents)[up]
    place.chmod(mode)

    assert unsafe(folder) == f"{place} may be written by others"


@AS_ROOT
def test_roots_group_is_others(folder: Path) -> None:
    folder.parent.chmod(0o775)

    assert unsafe(folder) == f"{folder.parent} may be written by others"


def test_a_folder_in_which_nobody_may_touch_what_is_anothers_does_no_harm(folder: Path) -> None:
    folder.parent.chmod(0o1777)

    assert unsafe(folder) is None


@AS_ROOT
@pytest.mark.parametrize("up", [0, 1, 2])
def test_a_folder_on_the_way_that_is_anothers_is_named_with_its_owner(folder: Path, up: int) -> None:
    place = anybodys((folder, *folder.parents)[up])

    assert (unsafe(folder) or "").startswith(f"{place} belongs to ")


def test_a_link_of_ours_is_followed_to_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = folder / "link"
    link.symlink_to("../../../elsewhere")
    assert unsafe(link) is None

    elsewhere.chmod(0o777)

    assert unsafe(link) == f"{elsewhere} may be written by others"


@AS_ROOT
def test_a_link_of_another_is_named_wherever_it_is_on_the_way(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "safe").mkdir()
    second = tmp_path / "second"
    second.symlink_to("safe")
    anybodys(second)
    (folder / "first").symlink_to(second)

    assert (unsafe(folder / "first") or "").startswith(f"{second} belongs to ")


def test_links_in_a_circle_are_an_error_and_no_hang(folder: Path) -> None:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")

    with pytest.raises(OSError, match="too many links"):
        unsafe(folder / "a")


def test_nothing_is_foreign_in_a_tree_of_ours(folder: Path) -> None:
    (folder / "file").touch()
    (folder / "link").symlink_to("/tmp")

    assert foreign(folder.parent) is None


def _writable(path: Path) -> None:
    path.chmod(0o666)


@pytest.mark.parametrize("change", [_writable, pytest.param(anybodys, marks=AS_ROOT)])
def test_a_file_that_others_could_change_is_found(folder: Path, change: Callable[[Path], None]) -> None:
    (folder / "file").touch()
    change(folder / "file")

    assert foreign(folder.parent) == folder / "file"


def test_a_folder_of_ours_is_mended_and_keeps_who_may_read_it(folder: Path) -> None:
    folder.chmod(0o757)
    folder.parent.chmod(0o777)

    mend_all(folder.parent, named_home=True)

    assert unsafe(folder) is None
    assert (folder.stat().st_mode & 0o777, folder.parent.stat().st_mode & 0o777) == (0o755, 0o755)


@AS_ROOT
def test_root_takes_a_folder_of_ours_back(folder: Path) -> None:
    anybodys(folder)

    mend_all(folder.parent, named_home=True)

    assert unsafe(folder) is None


@pytest.mark.parametrize(("named_home", "mode"), [(True, 0o777), (False, 0o755)])
def test_the_folder_above_is_mended_only_where_nobody_named_it(
    folder: Path, mode: int, *, named_home: bool
) -> None:
    home = folder.parents[1]
    home.chmod(0o777)

    mend_all(folder.parent, named_home=named_home)

    assert home.stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize("up", [0, 1, 2])
def test_what_does_no_harm_is_not_mended(folder: Path, up: int) -> None:
    place = (folder, *folder.parents)[up]
    place.chmod(0o1777)

    mend_all(folder.parent, named_home=False)

    assert place.stat().st_mode & 0o7777 == 0o1777


@AS_ROOT
@pytest.mark.parametrize("named_home", [True, False])
def test_a_folder_above_that_is_another_users_stays_theirs(folder: Path, *, named_home: bool) -> None:
    home = anybodys(folder.parents[1])

    mend_all(folder.parent, named_home=named_home)

    assert home.stat().st_uid == ANYBODY


@AS_ROOT
def test_mending_follows_no_link_and_touches_no_file(folder: Path, tmp_path: Path) -> None:
    target, file = tmp_path / "target", tmp_path / "file"
    target.mkdir()
    file.touch()
    for each in (target, file):
        anybodys(each)
    (folder / "link").symlink_to(target)

    for each in (folder / "link", file, folder / "missing"):
        mend(each)

    assert (target.stat().st_uid, file.stat().st_uid) == (ANYBODY, ANYBODY)
