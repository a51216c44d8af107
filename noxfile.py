"""`nox` runs the linter, and the tests once for each backend of Keras.

Each backend has an environment that holds no other one, so that a stray import
fails.
"""

import nox

# The newest build of PyTorch for the CPU that needs no CUDA packages.
PINNED = {"tensorflow": [], "jax": [], "torch": ["torch==2.13.0"]}
EXTRAS = {
    "tensorflow": "tensorflow,data",
    "jax": "jax",
    "torch": "torch,reference,browser",
}

# KerasHub without its tensorflow-text, which would bring TensorFlow along; its
# models do not need it.
KERAS_HUB = ["kagglehub", "packaging", "regex", "sentencepiece", "tokenizers"]

nox.options.reuse_existing_virtualenvs = True


@nox.session
def lint(session):
    session.install("ruff==0.17.6")  # a newer one may find fault with anything
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
@nox.parametrize("backend", list(EXTRAS))
def tests(session, backend):
    session.install(*PINNED[backend], "-e", f".[test,{EXTRAS[backend]}]")
    session.install(*KERAS_HUB)
    session.install("--no-deps", "keras-hub")
    # Tests wait for compilers more than they compute: one process a core, and
    # little time spent on making small programs fast.
    each_core = ("-n", "auto", "--dist", "worksteal")
    env = {
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    session.run("pytest", *each_core, *session.posargs, env=env)


@nox.session
@nox.parametrize("backend", ["torch"])
def serving(session, backend):
    """A trained model loads where keras_sgt was never installed."""
    session.install(*PINNED[backend], "keras", "numpy")
    session.install("-e", ".")
    env = {"KERAS_BACKEND": backend}
    script = "tests/serving.py"
    file = f"{session.create_tmp()}/explainable.keras"
    session.run("python", script, "train", file, env=env)
    session.run("pip", "uninstall", "--yes", "keras-sgt", silent=True)
    session.run("python", script, "serve", file, env=env)
