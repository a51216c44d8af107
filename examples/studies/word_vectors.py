"""Word vectors for `language.py --vectors`, learnt from reviews of IMDb.

    pip install gensim
    python examples/studies/word_vectors.py vectors.txt

writes a line `word number number ...` for each word: those of word2vec
(skip-gram), from the 50,000 reviews without their labels. The paper's networks
start from GloVe's vectors, which are learnt from far more text.
"""

import argparse
import pathlib

from gensim.models import Word2Vec

from keras_sgt import datasets, files


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", type=pathlib.Path, help="to write")
    parser.add_argument("--width", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    data = datasets.load("imdb")
    texts = [*data.train.x, *data.test.x]
    vectors = Word2Vec(
        texts,
        vector_size=args.width,
        epochs=args.epochs,
        seed=args.seed,
        sg=1,
        workers=1,  # with more the result depends on their order
    ).wv
    with files.replacing(args.file) as file:
        for word in vectors.index_to_key:
            numbers = " ".join(f"{value:.5f}" for value in vectors[word])
            file.write(f"{word} {numbers}\n".encode())
    print(f"wrote {len(vectors)} vectors of {len(texts):,} reviews")


if __name__ == "__main__":
    main()
