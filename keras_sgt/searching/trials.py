"""A list of jobs in an Optuna storage, done once each by any number of workers.

Jobs are enqueued by whoever creates the study; taking one is atomic in the
storage. A worker whose heart stops beating has its job given to another.
"""

import collections
import contextlib
import json
import random
import time
import uuid
import warnings

HEARTBEAT = 15  # seconds
GRACE = 90  # seconds without a heartbeat, after which a worker is given up
POLL = 1.0  # seconds
_ENQUEUED = "enqueued"
_SIGNATURE = "search"
_TOPS_UP = "tops_up"
JOB = "job"
_BEGAN = "began"
_DONE = ("COMPLETE", "PRUNED")


class NothingLeft(Exception):
    """All jobs are taken: told to Optuna in place of a result."""


def import_optuna():
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "`search` needs Optuna: pip install optuna, or keras-sgt[search]."
        ) from error
    return optuna


@contextlib.contextmanager
def quiet():
    """Optuna without its own lines about each trial."""
    optuna = import_optuna()
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", optuna.exceptions.ExperimentalWarning
            )
            yield
    finally:
        optuna.logging.set_verbosity(before)


def open_storage(storage):
    """The storage of a URL, with heartbeats; one in memory for `None`.

    Raises:
        ValueError: where it cannot be reached.
    """
    optuna = import_optuna()
    if storage is None:
        return optuna.storages.InMemoryStorage()
    if not isinstance(storage, str):
        if not isinstance(storage, optuna.storages.BaseStorage):
            raise ValueError(
                "`storage` has to be a URL, such as 'sqlite:///search.db', or "
                f"a storage of Optuna. Received: storage={storage!r}"
            )
        return storage
    for attempts_left in (2, 1, 0):
        try:
            return _database(storage)
        except Exception as error:  # of any database's driver
            if not attempts_left:
                raise ValueError(
                    "`storage` cannot be reached. Received: storage="
                    f"{_without_password(storage)!r}. {type(error).__name__}: "
                    f"{str(error).splitlines()[0]}"
                ) from None
            time.sleep(POLL / 2)  # another worker may be making its tables


def _database(url):
    optuna = import_optuna()
    of_sqlite = url.startswith("sqlite")
    wait = {"connect_args": {"timeout": 60}} if of_sqlite else None
    storage = optuna.storages.RDBStorage(
        url,
        engine_kwargs=wait,
        heartbeat_interval=HEARTBEAT,
        grace_period=GRACE,
        heartbeat_stale_trial_callback=(
            optuna.storages.RetryHeartbeatStaleTrialCallback()
        ),
    )
    if of_sqlite:
        _take_turns(storage.engine)
    return storage


def _take_turns(engine):
    """Transactions of SQLite one after the other, reading ones too.

    It locks no rows: two workers that read that a job is free would both
    take it.
    """
    from sqlalchemy import event

    @event.listens_for(engine, "connect")
    def connect(connection, _):
        connection.isolation_level = None  # no BEGIN but ours

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    engine.dispose()  # connections that are open already


def _without_password(url):
    scheme, found, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else url


class Jobs:
    """A study whose trials are jobs.

    Args:
        storage: of Optuna.
        name: str, of the study.
        signature: dict, what all workers have to agree on.
        jobs: list of dicts, the parameters of each job that are fixed.
        options: further arguments of `optuna.create_study`.

    Raises:
        ValueError: for a study of that name with another signature.
    """

    def __init__(self, storage, name, signature, jobs, **options):
        optuna = import_optuna()
        self.jobs = jobs
        self.storage = storage
        self._silent_since = {}  # by number of the trial
        arguments = dict(storage=storage, study_name=name, **options)
        try:
            self.study = optuna.create_study(direction="maximize", **arguments)
            self.study.set_user_attr(_SIGNATURE, json.dumps(signature))
            self._enqueue(jobs)
        except optuna.exceptions.DuplicatedStudyError:
            self.study = optuna.load_study(**arguments)
            self._join(name, signature)

    def _enqueue(self, jobs):
        for job in jobs:
            self.study.enqueue_trial(job, user_attrs={JOB: job})
        self.study.set_user_attr(_ENQUEUED, True)

    def _join(self, name, signature):
        """Goes on with what others began, or left unfinished."""
        until = time.monotonic() + 10 * POLL
        while not self.study.user_attrs.get(_ENQUEUED):
            if time.monotonic() > until:  # killed while it enqueued
                break
            time.sleep(POLL / 5)
        mine = json.dumps(signature)
        theirs = self.study.user_attrs.get(_SIGNATURE, mine)
        if theirs != mine:
            theirs = json.loads(theirs)
            if theirs.keys() != signature.keys():
                raise ValueError(
                    f"`storage` holds a search named {name!r} already, of "
                    "another version of keras_sgt. Pass another `name`."
                )
            other = [k for k, v in signature.items() if theirs[k] != v]
            raise ValueError(
                f"`storage` holds a search named {name!r} already, with other "
                f"{', '.join(other)}. Pass another `name`, or the same "
                "model, arguments and data."
            )

    def missing(self):
        """The jobs that nobody has done, does, or has before them."""
        taken = collections.Counter(
            json.dumps(t.user_attrs[JOB], sort_keys=True)
            for t in self.of("WAITING", "RUNNING", *_DONE)
            if JOB in t.user_attrs
        )
        left = []
        for job in self.jobs:
            key = json.dumps(job, sort_keys=True)
            if taken[key] > 0:
                taken[key] -= 1
            else:
                left.append(job)
        return left

    def _top_up(self):
        """Enqueues what is missing, unless another worker is about to."""
        mine = uuid.uuid4().hex
        self.study.set_user_attr(_TOPS_UP, mine)
        time.sleep(2 * POLL)  # also for one who is giving out a job again
        if self.study.user_attrs.get(_TOPS_UP) == mine:
            self._enqueue(self.missing())
        else:  # not in step with the others, who would do the same for ever
            time.sleep(10 * POLL * random.Random(mine).random())

    def _give_up_heartless(self):
        """Fails trials whose worker died before its heart ever beat.

        Optuna takes up those with a heartbeat, and waits for the others for
        ever. Seen by this worker's clock, since others may be set wrong.
        """
        now = time.monotonic()
        silent = {
            t.number for t in self.of("RUNNING") if _BEGAN not in t.user_attrs
        }
        self._silent_since = {
            number: self._silent_since.get(number, now) for number in silent
        }
        for number, since in self._silent_since.items():
            if now - since > GRACE:
                failed = import_optuna().trial.TrialState.FAIL
                self.study.tell(number, state=failed, skip_if_finished=True)

    def of(self, *states):
        """The trials in these states."""
        return [
            t
            for t in self.study.get_trials(deepcopy=False)
            if t.state.name in states
        ]

    def done(self):
        """The trials that ended, as they were meant to or early."""
        return self.of(*_DONE)

    def work(self, job):
        """Does jobs, until all are done by someone.

        Args:
            job: function of an Optuna trial, as `Study.optimize` takes it.
        """
        optuna = import_optuna()

        shared = not isinstance(self.storage, optuna.storages.InMemoryStorage)
        done_here = False

        def run(trial):
            nonlocal done_here
            done_here = False
            # One that nobody enqueued: others took the last before.
            if JOB not in trial.user_attrs:
                raise NothingLeft
            if shared:  # the heart beats in a thread of its own: let it
                time.sleep(POLL / 2)
            trial.set_user_attr(_BEGAN, True)
            try:
                value = job(trial)
            except optuna.TrialPruned:
                done_here = True
                raise
            done_here = True
            return value

        while True:
            optuna.storages.fail_stale_trials(self.study)
            if self.of("WAITING"):
                try:
                    self.study.optimize(run, n_trials=1, catch=(NothingLeft,))
                except ValueError:
                    # Given up as dead for its slow heart, and done again.
                    if not done_here:
                        raise
            elif self.of("RUNNING"):
                time.sleep(POLL)
                self._give_up_heartless()
            else:
                # Interrupted by an error or by the user, here or elsewhere.
                if not self.missing():
                    return
                self._top_up()
