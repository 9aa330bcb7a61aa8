"""The authorizer's rows, small: that what is measured is a decision, and an import of nothing heavy."""

import pytest

from bench.authorizing import deciding, importing


def test_thousands_of_decisions_ask_the_issuer_once() -> None:
    row = deciding(rounds=1)
    assert (row.id, row.counts, row.rounds) == ("warm-authorize", {"fetches": 1}, 1)


@pytest.mark.slow
def test_the_authorizer_s_import_brings_neither_the_aws_sdk_nor_pydantic() -> None:
    row = importing(rounds=1)
    assert (row.id, row.counts, row.rounds) == ("import-authorize", {"aws_and_pydantic_modules": 0}, 1)
