"""Verdict on a document before it is followed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PreflightRefusal:
    """Why this device will not follow a document."""

    code: str
    message: str
    images: frozenset[str] = frozenset()  # those that it rests on, by the document's names
    lasting: bool = False  # only another document or another policy can change it


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is certain to be wrong, and what could not be looked into."""

    refusal: PreflightRefusal | None = None
    unknown: frozenset[str] = frozenset()  # images


FINE = Verdict()
