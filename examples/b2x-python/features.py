"""Features that tell a company's name from a person's. Used alike by training and by the service."""

import csv
import math
import re
import unicodedata

CATEGORIES = ["legal_form", "legal_form_place", "tokens", "case", "first_token", "last_token", "punctuation"]
NUMBERS = ["first_name_frequency", "surname_frequency", "known_share", "length", "digits"]

TOKEN = re.compile(r"[^\s,;\"„“”«»()]+")


def fold(text):
    """Lower case without accents, so that `Žukauskas` and `ZUKAUSKAS` are one name."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def read_frequencies(path):
    """Returns how many in 100,000 people bear each name, by folded name."""
    with open(path, encoding="utf-8", newline="") as file:
        return {row["name"]: float(row["per_100000"]) for row in csv.DictReader(file)}


def read_legal_forms(path):
    """Returns the group of each legal form (`limited`, `partnership`, ...), by folded form without dots."""
    with open(path, encoding="utf-8", newline="") as file:
        return {row["form"]: row["group"] for row in csv.DictReader(file)}


class Features:
    """Computes features from names with the three auxiliary datasets."""

    def __init__(self, first_names, surnames, legal_forms):
        self.first_names = read_frequencies(first_names)
        self.surnames = read_frequencies(surnames)
        self.legal_forms = read_legal_forms(legal_forms)

    def columns(self, names):
        """Returns a column of values for each feature, in the order CATEGORIES + NUMBERS."""
        rows = [self.row(name) for name in names]
        return dict(zip(CATEGORIES + NUMBERS, map(list, zip(*rows)))) if rows else {}

    def row(self, name):
        tokens = TOKEN.findall(name)
        folded = [fold(token) for token in tokens]
        form, place = self.legal_form(folded)
        parts = [part for token in folded for part in token.split("-") if part]
        kinds = [self.kind(part) for part in parts]
        known = sum(kind != "unknown" for kind in kinds)
        return (
            form,
            place,
            str(min(len(tokens), 6)),
            case(tokens),
            kinds[0] if kinds else "none",
            kinds[-1] if kinds else "none",
            punctuation(name),
            max((logarithm(self.first_names.get(part, 0.0)) for part in parts), default=0.0),
            max((logarithm(self.surnames.get(part, 0.0)) for part in parts), default=0.0),
            known / len(parts) if parts else 0.0,
            float(min(len(name), 60)),
            float(any(letter.isdigit() for letter in name)),
        )

    def legal_form(self, tokens):
        """Returns the group of the first legal form in the name, and where it stands."""
        bare = [token.replace(".", "").replace("/", "") for token in tokens]
        for size in (3, 2, 1):
            for start in range(len(bare) - size + 1):
                group = self.legal_forms.get(" ".join(bare[start : start + size]))
                if group:
                    end = start + size == len(bare)
                    return group, "first" if start == 0 else "last" if end else "middle"
        return "none", "none"

    def kind(self, part):
        first, last = part in self.first_names, part in self.surnames
        return {(True, True): "both", (True, False): "first_name", (False, True): "surname"}.get((first, last), "unknown")


def logarithm(frequency):
    return math.log1p(frequency)


def case(tokens):
    if all(token.isupper() for token in tokens):
        return "upper"
    if all(token.islower() for token in tokens):
        return "lower"
    if all(token[:1].isupper() and token[1:].islower() for token in tokens if token.isalpha()):
        return "title"
    return "mixed"


def punctuation(name):
    for mark, label in (("&", "ampersand"), ("+", "plus"), ('"', "quote"), ("„", "quote"), (",", "comma"), (".", "dot"), ("-", "hyphen")):
        if mark in name:
            return label
    return "none"
