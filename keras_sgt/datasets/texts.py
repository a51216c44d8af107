"""Loaders of texts."""

import csv
import json
import re

import numpy as np

from keras_sgt.datasets.files import Dataset, Split, file, members


def movies(data_dir):
    archive = file(data_dir, "eraser_movies", "movies.tar.gz")
    files = dict(members(archive))
    splits = {}
    for split in ("train", "val", "test"):
        x, y, truth = [], [], []
        for line in files[f"movies/{split}.jsonl"].decode().splitlines():
            row = json.loads(line)
            name = row["annotation_id"]
            tokens = files[f"movies/docs/{name}"].decode().split()
            marked = np.zeros(len(tokens), bool)
            for evidence in row["evidences"]:
                for span in evidence:
                    marked[span["start_token"] : span["end_token"]] = True
            x.append(tokens)
            y.append(row["classification"] == "POS")
            truth.append(marked)
        splits[split] = Split(x, np.array(y, "int32"), truth)
    return Dataset(
        splits["train"],
        splits["test"],
        ("negative", "positive"),
        valid=splits["val"],
    )


_ENTAILMENT = ("neutral", "entailment", "contradiction")


def esnli(data_dir, all_pairs=False):
    if all_pairs:
        return Dataset(
            _pairs(file(data_dir, "esnli", "dev.tsv")),
            _pairs(file(data_dir, "esnli", "test.tsv")),
            _ENTAILMENT,
        )
    return Dataset(
        _highlights(file(data_dir, "esnli", "highlights_train.json")),
        _highlights(file(data_dir, "esnli", "highlights_dev.json")),
        _ENTAILMENT,
    )


def _pairs(path):
    with path.open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    x = [f"{r['premise']} | {r['hypothesis']}".lower().split() for r in rows]
    return Split(x, np.array([r["label"] for r in rows], "int32"))


def _highlights(path):
    """Tokens are words; true are those that most annotators marked."""
    x, y, truth = [], [], []
    for row in json.loads(path.read_text()):
        tokens, marked = [], []
        for part in ("premise", "hypothesis"):
            spans = _words(row[part])
            votes = np.zeros(len(spans))
            for explanation in row["explanations"]:
                starts = [at for _, at in explanation[f"{part}_expl_tokens"]]
                votes += [
                    any(start <= at < end for at in starts)
                    for _, start, end in spans
                ]
            tokens += [word for word, _, _ in spans]
            marked += list(votes > len(row["explanations"]) / 2)
            if part == "premise":
                tokens.append("|")
                marked.append(False)
        x.append(tokens)
        y.append(_ENTAILMENT.index(row["label"]))
        truth.append(np.array(marked))
    return Split(x, np.array(y, "int32"), truth)


_WORD = re.compile(r"\w+|[^\w\s]")


def _words(text):
    """`(word, start, end)` of each word, in lower case, and punctuation."""
    found = _WORD.finditer(text)
    return [(m.group().lower(), m.start(), m.end()) for m in found]


def imdb(data_dir):
    archive = file(data_dir, "imdb", "aclImdb_labelled.tar.xz")
    splits = {"train": ([], []), "test": ([], [])}
    for name, content in members(archive):
        parts = name.split("/")
        if len(parts) < 3 or parts[-2] not in ("pos", "neg"):
            continue
        text = content.decode().replace("<br />", " ")
        x, y = splits[parts[-3]]
        x.append(_WORD.findall(text.lower()))
        y.append(parts[-2] == "pos")
    train, test = (Split(x, np.array(y, "int32")) for x, y in splits.values())
    return Dataset(train, test, ("negative", "positive"))


def sst2(data_dir):
    def split(name):
        lines = file(data_dir, "sst2", f"{name}.tsv").read_text().splitlines()
        texts, labels = zip(*(line.rsplit("\t", 1) for line in lines))
        x = [text.lower().split() for text in texts]
        return Split(x, np.array(labels, "int32"))

    return Dataset(
        split("train"),
        split("test"),
        ("negative", "positive"),
        valid=split("dev"),
    )
