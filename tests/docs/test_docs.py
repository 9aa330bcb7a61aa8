"""What the docs name is there: files, folders and decisions."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = (
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    ROOT / "tests" / "README.md",
    *(ROOT / "docs").rglob("*.md"),
)


def _paths(document: Path) -> set[str]:
    """What a document names in code marks and looks like a path of this repository."""
    named = re.findall(r"`([\w./-]+/[\w./-]*)`", document.read_text())
    tops = {path.name for path in ROOT.iterdir() if path.is_dir()}
    return {name for name in named if name.split("/")[0] in tops}


@pytest.mark.parametrize("document", DOCS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_path_and_every_link_leads_somewhere(document: Path) -> None:
    text = document.read_text()
    links = {link for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text) if link}

    made = {"build", "greengrass-build", "local/.env"}  # by commands, not committed
    places = (ROOT, document.parent)
    gone = [
        path
        for path in _paths(document)
        if path.rstrip("/") not in made and not any((place / path).exists() for place in places)
    ]
    assert [*gone, *(link for link in links if not (document.parent / link).exists())] == []


def test_every_decision_is_in_the_index_and_nothing_else() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\| (\d+) \| \[(.+)\]\((.+)\) \|", (folder / "README.md").read_text())
    pages = {path.name: path.read_text().splitlines()[0] for path in folder.glob("0*.md")}
    assert {name: f"# {number}. {title}" for number, title, name in listed} == pages


def test_the_map_names_every_folder_of_the_device_and_of_the_cloud() -> None:
    text = (ROOT / "docs" / "contributing.md").read_text()
    rooms = {
        path.name for side in ("edge", "cloud") for path in (ROOT / side).iterdir()
        if (path / "__init__.py").exists()
    }  # fmt: skip
    assert {room for room in rooms if f"{room}/" not in text} == set()
