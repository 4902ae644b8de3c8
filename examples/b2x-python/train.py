"""Makes the labelled names, trains the small and the large classifier, and writes down how good they are.

    python train.py            # the small model (logistic regression), as committed
    python train.py --large    # the random forest of 200 trees as well
    python train.py --export names.csv    # the labelled names alone, for training in another language

Everything is seeded: the same package versions give the same names, datasets and models.
"""

import argparse
import csv
import hashlib
import json
import pathlib
import random

import joblib
import pandas
from faker import Faker
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from features import CATEGORIES, NUMBERS, Features, fold

HERE = pathlib.Path(__file__).parent
ROWS = 376_617
COMPANY_SHARE = 0.42
SEED = 20
# Each locale with its share of the rows.
LOCALES = {
    "lt_LT": 0.20, "lv_LV": 0.08, "et_EE": 0.08, "pl_PL": 0.10, "de_DE": 0.08, "fr_FR": 0.06, "es_ES": 0.05, "it_IT": 0.05,
    "nl_NL": 0.05, "sv_SE": 0.04, "fi_FI": 0.05, "cs_CZ": 0.05, "en_GB": 0.04, "pt_PT": 0.03, "hu_HU": 0.02, "da_DK": 0.02,
}
# Faker knows no companies of the Baltic states: legal forms and trades as their registers have them.
BALTIC = {
    "lt_LT": (["UAB"] * 12 + ["MB"] * 5 + ["AB", "VšĮ", "IĮ", "TŪB"],
              ["Prekyba", "Statyba", "Logistika", "Transportas", "Projektai", "Baldai", "Technologijos", "Paslaugos", "Energija", "Miškas", "Namai"]),
    "lv_LV": (["SIA"] * 12 + ["AS", "IK"],
              ["Tirdzniecība", "Būve", "Loģistika", "Transports", "Projekti", "Mēbeles", "Tehnoloģijas", "Serviss", "Enerģija", "Mežs", "Nami"]),
    "et_EE": (["OÜ"] * 12 + ["AS", "FIE", "MTÜ"],
              ["Kaubandus", "Ehitus", "Logistika", "Transport", "Projektid", "Mööbel", "Tehnoloogia", "Teenused", "Energia", "Mets", "Kodu"]),
}
STEMS = ["Baltic", "Nord", "Vega", "Alfa", "Gama", "Solar", "Aqua", "Eko", "Inter", "Euro", "Terra", "Amber", "Vita", "Delta", "Orion", "Rasa"]


def baltic_company(fake, locale, rng):
    forms, trades = BALTIC[locale]
    core = rng.choice([
        lambda: f"{rng.choice(STEMS)} {rng.choice(trades)}",
        lambda: f"{fake.last_name()} {rng.choice(trades).lower()}",
        lambda: f"{rng.choice(STEMS)}{rng.choice(trades).lower()}",
        lambda: f"{fake.last_name()} ir partneriai" if locale == "lt_LT" else f"{fake.last_name()} Grupp",
        lambda: fake.last_name(),
        lambda: fake.city(),
    ])()
    form = rng.choice(forms)
    if rng.random() < 0.3:
        core = f"„{core}“" if locale == "lt_LT" else f'"{core}"'
    return f"{form} {core}" if rng.random() < 0.8 else f"{core}, {form}"


def as_typed(name, rng):
    """People and registers write names in many ways."""
    roll = rng.random()
    if roll < 0.06:
        name = name.upper()
    elif roll < 0.09:
        name = name.lower()
    if rng.random() < 0.04:
        name = name.replace(".", "")
    if rng.random() < 0.03:
        name = " ".join(reversed(name.split()))
    return " ".join(name.split())


def without_form(name, rng):
    """Some companies are written without their legal form: those are the hard ones."""
    parts = name.split()
    return " ".join(parts[1:] or parts) if rng.random() < 0.5 else " ".join(parts[:-1] or parts)


def labelled_names():
    rng = random.Random(SEED)
    rows = []
    for number, (locale, share) in enumerate(LOCALES.items()):
        fake = Faker(locale)
        fake.seed_instance(SEED + number)
        count = round(ROWS * share) if number + 1 < len(LOCALES) else ROWS - len(rows)
        for _ in range(count):
            if rng.random() < COMPANY_SHARE:
                name = baltic_company(fake, locale, rng) if locale in BALTIC else fake.company()
                if rng.random() < 0.05:
                    name = without_form(name, rng)
                rows.append((as_typed(name, rng), "B2B", locale))
            else:
                person = fake.name() if rng.random() < 0.5 else f"{fake.first_name()} {fake.last_name()}"
                rows.append((as_typed(person, rng), "B2C", locale))
    rng.shuffle(rows)
    return pandas.DataFrame(rows, columns=["name", "label", "locale"])


def frequencies(kind):
    """Returns how many in 100,000 bear a name, over all locales, from the generator's own name lists.

    Three names in ten are left out: a real register never has all names.
    """
    totals = {}
    for locale, share in LOCALES.items():
        provider = next(p for p in Faker(locale).get_providers() if p.__class__.__module__.startswith("faker.providers.person."))
        weights = {}
        for attribute in dir(provider):
            if attribute.startswith(kind) and attribute.split(kind)[1] in ("", "_male", "_female", "_neutral", "_nonbinary", "_unisex"):
                names = getattr(provider, attribute)
                items = names.items() if isinstance(names, dict) else ((name, 1.0) for name in names)
                for name, weight in items:
                    weights[fold(name)] = weights.get(fold(name), 0.0) + float(weight)
        whole = sum(weights.values()) or 1.0
        for name, weight in weights.items():
            totals[name] = totals.get(name, 0.0) + share * weight / whole
    kept = {name: value for name, value in totals.items() if hashlib.sha256(name.encode()).digest()[0] % 10 >= 3}
    return {name: round(value * 100_000, 3) for name, value in sorted(kept.items())}


def write_frequencies(path, table):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "per_100000"])
        writer.writerows(table.items())


def pipeline(estimator):
    return make_pipeline(
        ColumnTransformer([
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), CATEGORIES),
            ("numbers", StandardScaler(), NUMBERS),
        ]),
        estimator,
    )


def measure(model, frame, labels):
    scores = model.predict_proba(frame)[:, list(model.classes_).index("B2B")]
    predicted = model.predict(frame)
    return {
        "accuracy": round(accuracy_score(labels, predicted), 4),
        "f1_b2b": round(f1_score(labels, predicted, pos_label="B2B"), 4),
        "roc_auc": round(roc_auc_score(labels == "B2B", scores), 4),
        "confusion_b2b_b2c": confusion_matrix(labels, predicted, labels=["B2B", "B2C"]).tolist(),
    }


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--large", action="store_true", help="train the random forest of 200 trees as well")
    arguments.add_argument("--export", metavar="FILE", help="write the labelled names, and train nothing")
    arguments = arguments.parse_args()

    data, models = HERE / "data", HERE / "models"
    write_frequencies(data / "first_names.csv", frequencies("first_names"))
    write_frequencies(data / "surnames.csv", frequencies("last_names"))
    names = labelled_names()
    train, test = train_test_split(names.index, test_size=0.3, random_state=SEED, stratify=names["label"])
    if arguments.export:
        part = pandas.Series("train", names.index).where(names.index.isin(train), "test")
        names.assign(part=part).to_csv(arguments.export, index=False, lineterminator="\n")
        return
    features = Features(data / "first_names.csv", data / "surnames.csv", data / "legal_forms.csv")
    frame = pandas.DataFrame(features.columns(names["name"]))
    names.loc[test[:200], ["name", "label"]].to_csv(data / "held_out.csv", index=False, lineterminator="\n")

    estimators = {"small": LogisticRegression(max_iter=1000)}
    if arguments.large:
        estimators["large"] = RandomForestClassifier(n_estimators=200, min_samples_leaf=3, n_jobs=-1, random_state=SEED)
    report_file = models / "metrics.json"
    report = json.loads(report_file.read_text()) if report_file.exists() else {}
    report["rows"] = {"all": len(names), "train": len(train), "held_out": len(test), "locales": len(LOCALES)}
    for size, estimator in estimators.items():
        model = pipeline(estimator).fit(frame.loc[train], names.loc[train, "label"])
        if size == "large":
            model[-1].n_jobs = 1  # one request never needs more than one processor
        joblib.dump(model, models / f"{size}.joblib", compress=0)
        report[size] = {"model": type(estimator).__name__, **measure(model, frame.loc[test], names.loc[test, "label"])}
        print(size, report[size], flush=True)
    report_file.write_text(json.dumps(report, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
