"""`nox` runs the linter, and the tests once for each backend of Keras.

Each backend has an environment that holds no other one, so that a stray import
fails. By name only: `nox -s docs` (the site), `nox -s pages` (all code of the
pages, as a reader runs it), `nox -s next` (the coming Keras), `nox -s pythons`
(newer ones), `nox -s slow`, and `nox -s wheel` (the package as it is uploaded).
"""

import pathlib
import shutil

import nox

nox.options.sessions = ["lint", "tests", "serving", "lowest"]

# The newest build of PyTorch for the CPU that needs no CUDA packages.
PINNED = {"tensorflow": [], "jax": [], "torch": ["torch==2.13.0"]}
EXTRAS = {
    "tensorflow": "tensorflow,data",
    "jax": "jax,loaders",
    "torch": "torch,loaders,reference,browser",
}

# KerasHub without its tensorflow-text, which would bring TensorFlow along; its
# models do not need it.
KERAS_HUB = ["kagglehub", "packaging", "regex", "sentencepiece", "tokenizers"]

# What a version of Keras can break, without what takes long.
CORE = [
    *("tests/training", "tests/masking", "tests/introspection"),
    *("tests/callbacks", "tests/test_divergences.py"),
    "--ignore=tests/training/test_zoo.py",
    "--ignore=tests/training/test_networks.py",
    "--ignore=tests/masking/test_keras_hub.py",
]
KERASES = ["keras", "keras-nightly"]

nox.options.reuse_existing_virtualenvs = True


@nox.session
def lint(session):
    session.install("ruff==0.17.6")  # a newer one may find fault with anything
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
@nox.parametrize("backend", list(EXTRAS))
def tests(session, backend):
    install(session, backend, extras=EXTRAS[backend])
    session.install(*KERAS_HUB)
    session.install("--no-deps", "keras-hub")
    run_tests(session, backend)


@nox.session
@nox.parametrize("backend", ["torch"])
def lowest(session, backend):
    """The core tests with the oldest Keras that pyproject.toml allows."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    allowed = [d for d in project["dependencies"] if d.startswith("keras>=")]
    install(session, backend, *(d.replace(">=", "==") for d in allowed))
    run_tests(session, backend, *CORE)


@nox.session(name="next")
@nox.parametrize("backend", list(EXTRAS))
def next_keras(session, backend):
    """The core tests with the newest pre-release of Keras."""
    # Both packages own the module `keras`: the one that is installed last has
    # to be the only one.
    session.run_install("pip", "uninstall", "--yes", *KERASES)
    install(session, backend)
    session.run_install("pip", "uninstall", "--yes", *KERASES)
    session.install("--pre", "--no-deps", "keras-nightly")
    run_tests(session, backend, *CORE)


# Of JAX, whose packages need no CUDA with any Python.
@nox.session(python=["3.12", "3.13"])
@nox.parametrize("backend", ["jax"])
def pythons(session, backend):
    """The core tests with newer Pythons."""
    install(session, backend)
    run_tests(session, backend, *CORE)


@nox.session
@nox.parametrize("backend", list(EXTRAS))
def pages(session, backend):
    """The README and every page, followed in an environment of their own."""
    folder = pathlib.Path(session.create_tmp()).resolve() / "followed"
    shutil.rmtree(folder, ignore_errors=True)
    constraints = folder.with_suffix(".txt")
    constraints.write_text("\n".join(PINNED[backend]))
    env = {"PIP_CONSTRAINT": str(constraints)}
    script = "tools/follow_pages.py"
    session.run("python", script, backend, folder, *session.posargs, env=env)


@nox.session
@nox.parametrize("backend", ["jax"])
def docs(session, backend):
    """The site, in site/: warnings are errors, no public name is missing."""
    session.install("-e", f".[docs,{backend}]")
    env = {"KERAS_BACKEND": backend}
    strict = ("--fail-on-warning", "--keep-going", "--fresh-env")
    session.run("sphinx-build", *strict, "docs", "site", env=env)
    session.run("python", "tools/check_site.py", "site", env=env)


@nox.session
@nox.parametrize("backend", list(EXTRAS))
def slow(session, backend):
    """The tests that are marked as slow: long sweeps and studies."""
    install(session, backend, extras=EXTRAS[backend])
    none = 5  # of pytest, where no test is marked
    run_tests(session, backend, "-m", "slow", success_codes=[0, none])


@nox.session
@nox.parametrize("backend", list(EXTRAS))
def wheel(session, backend):
    """The package as it is uploaded: built, checked, tested."""
    session.install("build", "check-wheel-contents", "mypy", "twine")
    folder = pathlib.Path(session.create_tmp())
    shutil.rmtree(folder)
    session.run("python", "-m", "build", "--outdir", folder, ".")
    [built] = folder.glob("*.whl")
    session.run("twine", "check", "--strict", *folder.iterdir())
    session.run("check-wheel-contents", built)
    session.install(*PINNED[backend], f"{built}[test,{backend}]")
    for name in ("docs", "tests", "tools"):
        shutil.copytree(name, folder / name)
    shutil.copy("pyproject.toml", folder)
    shutil.copy("examples/quickstart.py", folder)
    with session.chdir(folder):  # away from the sources
        untyped = "--ignore-missing-imports"  # Keras has no types
        session.run("mypy", "quickstart.py", untyped)
        run_tests(session, backend, *CORE)


def install(session, backend, *packages, extras=None):
    package = f".[test,{extras or backend}]"
    session.install(*PINNED[backend], *packages, "-e", package)


def run_tests(session, backend, *arguments, **options):
    # Tests wait for compilers more than they compute: one process and thread a
    # core, and little time spent on making small programs fast.
    each_core = ("-n", "auto", "--dist", "worksteal", "--durations=15")
    env = {
        "KERAS_BACKEND": backend,
        "OMP_NUM_THREADS": "1",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
        # What JAX has compiled once, in this run or an earlier one.
        "JAX_COMPILATION_CACHE_DIR": str((session.cache_dir / "jax").resolve()),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
    }
    pytest = ("pytest", *each_core, *arguments, *session.posargs)
    session.run(*pytest, env=env, **options)


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
