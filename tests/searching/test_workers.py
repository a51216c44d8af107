"""Searches that several processes share, some of them killed."""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import uuid

import pytest

import keras_sgt

optuna = pytest.importorskip("optuna")

SCRIPT = pathlib.Path(__file__).with_name("worker.py")
ROOT = pathlib.Path(keras_sgt.__file__).parents[1]
POSTGRESQL = "KERAS_SGT_POSTGRESQL"  # names a database that may be written to


def start(url, name, trials):
    """A process that searches."""
    path = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), url, name, str(trials)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
        stdout=subprocess.PIPE,
    )


def verdict(worker):
    """What it says once it has ended well."""
    said = worker.communicate(timeout=400)[0].decode().strip()
    assert worker.returncode == 0
    assert said
    return said


def kill(worker):
    worker.send_signal(signal.SIGKILL)
    worker.communicate()


def studies(url, name):
    """The trials of a search, those of its confirmation apart."""
    try:
        names = optuna.get_all_study_names(url)
    except Exception:  # the tables are not there yet
        return {}
    return {
        n: optuna.load_study(study_name=n, storage=url).trials
        for n in names
        if n.startswith(name)
    }


def running(url, name):
    """The jobs that someone is at."""
    return {
        (study, trial.number)
        for study, trials in studies(url, name).items()
        for trial in trials
        if trial.state.name == "RUNNING" and "began" in trial.user_attrs
    }


def wait_for_a_running_job(url, name, besides=()):
    until = time.monotonic() + 200
    while not running(url, name) - set(besides):
        assert time.monotonic() < until, "no job was begun"
        time.sleep(0.2)


def all_is_done_once(url, name, trials):
    """Every job of every study was done, and none of them twice."""
    found = studies(url, name)
    for study in found.values():
        states = {t.state.name for t in study if "job" in t.user_attrs}
        assert not {"RUNNING", "WAITING"} & states
        settings = collections.Counter(
            json.dumps([t.params, t.user_attrs["job"]], sort_keys=True)
            for t in study
            if t.state.name in ("COMPLETE", "PRUNED")
        )
        assert set(settings.values()) == {1}
    done = [t.state.name in ("COMPLETE", "PRUNED") for t in found[name]]
    assert sum(done) == trials


@pytest.mark.slow_to_compile
def test_a_killed_worker_has_its_trial_done_by_another(tmp_path):
    url = f"sqlite:///{tmp_path / 'search.db'}"
    workers = [start(url, "search", 6) for _ in range(2)]
    wait_for_a_running_job(url, "search")
    kill(workers[0])
    assert verdict(workers[1])
    all_is_done_once(url, "search", 6)


@pytest.mark.slow
def test_a_search_killed_ten_times_loses_and_doubles_nothing(tmp_path):
    url = f"sqlite:///{tmp_path / 'search.db'}"
    seed = random.SystemRandom().randrange(2**32)
    moments = random.Random(seed)
    amid = set()  # the jobs that were not ended
    for _ in range(10):
        worker = start(url, "search", 12)
        wait_for_a_running_job(url, "search", besides=amid)
        time.sleep(moments.uniform(0, 1.5))
        kill(worker)
        amid |= running(url, "search")
    said = verdict(start(url, "search", 12))
    print(f"kills of seed {seed} amid", sorted(amid))
    assert amid
    all_is_done_once(url, "search", 12)
    assert verdict(start(url, "search", 12)) == said  # and nothing is left


@pytest.mark.slow
def test_three_workers_on_postgresql_of_whom_one_is_killed():
    url = os.environ.get(POSTGRESQL)
    if url is None:
        pytest.skip(f"{POSTGRESQL} names no database")
    name = f"search {uuid.uuid4().hex[:8]}"
    workers = [start(url, name, 12) for _ in range(3)]
    wait_for_a_running_job(url, name)
    kill(workers[0])
    assert verdict(workers[1]) == verdict(workers[2])
    all_is_done_once(url, name, 12)
