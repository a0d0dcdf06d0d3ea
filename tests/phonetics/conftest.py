"""The corrector with the compact model, whatever else the machine has installed."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lingting.phonetics import Corrector
from lingting.phonetics.corrector import Tuning
from lingting.phonetics.lexicon import Lexicon
from lingting.phonetics.models import CompactModel


@pytest.fixture(scope="session")
def lexicon() -> Lexicon:
    return Lexicon()


@pytest.fixture(scope="session")
def corrector(lexicon: Lexicon) -> Corrector:
    return Corrector(lexicon, CompactModel(lexicon), Tuning())


@pytest.fixture(scope="session")
def sentences() -> list[dict[str, str]]:
    """Made-up sentences with a name, brand or term: what was said, and how an engine could write it by sound."""
    with Path(__file__).with_name("hot_words.tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))
