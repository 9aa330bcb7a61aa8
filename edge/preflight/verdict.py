"""Verdict on a document before it is followed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PreflightRefusal:
    """The reason why this device refuses a document."""

    code: str
    message: str
    images: frozenset[str] = frozenset()  # those that it rests on, by the document's names
    lasting: bool = False  # only another document or another policy can change it


@dataclass(frozen=True, slots=True)
class Verdict:
    """The certain errors of a document, and the images that could not be checked."""

    refusal: PreflightRefusal | None = None
    unknown: frozenset[str] = frozenset()  # images


FINE = Verdict()
