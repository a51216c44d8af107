"""A search as it runs: traditional training, trials, confirmation."""

import gc
import time
import warnings

import numpy as np

from keras_sgt.searching import measures as known_measures
from keras_sgt.searching import trials as trials_
from keras_sgt.searching.confirmation import (
    CONTROL,
    GUIDED,
    TRADITIONAL,
    Confirmation,
)
from keras_sgt.searching.progress import Progress
from keras_sgt.searching.result import Row, Search
from keras_sgt.searching.training import Diverged

REFERENCES = 3  # seeds of traditional training that trials are measured by
TRAININGS = (TRADITIONAL, GUIDED, CONTROL)
_REFERENCE, _OUTCOME = "traditional", "outcome"


class Run:
    """One worker's part in a search."""

    def __init__(self, plan, trials, seeds, storage, name, verbose):
        optuna = trials_.import_optuna()
        self.plan = plan
        self.seeds = seeds
        self.name = name
        self.storage = trials_.open_storage(storage)
        # The ranges are wide: each candidate is first tried in their middle.
        first = [plan.middle(candidate) for candidate in plan.candidates]
        self.jobs = trials_.Jobs(
            self.storage,
            name,
            plan.signature(),
            (first + [{}] * trials)[:trials],
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
        )
        self.progress = Progress(verbose, trials, len(TRAININGS) * seeds)
        self.reference = None
        self.models = {}  # by training, of the first seed of confirmation
        self.confirmation = None
        self._fresh = plan.seed + REFERENCES  # the first seed of confirmation

    def go(self):
        interrupted = False
        try:
            self.reference = self._reference()
            self.jobs.work(self._trial)
            self._confirm()
        except KeyboardInterrupt:
            interrupted = True
        found = Search(
            plan=self.plan,
            rows=self._rows(),
            reference=self.reference,
            chosen=self._chosen(),
            confirmation=self.confirmation,
            models=self.models,
            interrupted=interrupted,
        )
        self.progress.say(found.verdict)
        return found

    # Traditional training, which the others are measured by.

    def _reference(self):
        """Its accuracy, after each rung too, and the measures."""
        known = self.jobs.study.user_attrs.get(_REFERENCE)
        if known is None:
            known = self._traditional()
            # Another worker may have been faster: then all use its.
            theirs = self.jobs.study.user_attrs.get(_REFERENCE)
            if theirs is None:
                self.jobs.study.set_user_attr(_REFERENCE, known)
            known = theirs or known
        self.progress.say(
            f"traditional training: accuracy {known['accuracy']:.4f} ± "
            f"{self._doubt(known['accuracy']):.4f}, its standard error on "
            f"{len(self.plan.chosen_by.x):,} samples"
        )
        return known

    def _traditional(self):
        """The mean of several seeds: one may be lucky."""
        found = []
        for i in range(REFERENCES):
            with self.progress.timed():
                found.append(self._traditional_of(self.plan.seed + i))
        return {
            part: {key: _mean(one[part][key] for one in found) for key in keys}
            for part, keys in found[0].items()
            if isinstance(keys, dict)
        } | {"accuracy": _mean(one["accuracy"] for one in found)}

    def _traditional_of(self, seed):
        plan, reached = self.plan, {}

        def at_rung(guided, epoch):
            right = known_measures.correct(
                guided.model, plan.chosen_by, plan.from_logits
            )
            reached[str(epoch)] = float(right.mean())

        try:
            guided = plan.recipe.trained(seed, at_rung=at_rung)
        except Diverged:
            raise ValueError(
                "`build_model` returns a model whose loss is no number after "
                "traditional training. Train it with `fit` first, until it "
                "learns."
            ) from None
        values = plan.measured(guided.model, plan.chosen_by)
        self.models.setdefault(TRADITIONAL, guided)
        return {
            "accuracy": float(values["accuracy"].mean()),
            "reached": reached,
            "means": {m: float(values[m].mean()) for m in plan.measures},
            "spreads": {m: float(values[m].std()) for m in plan.measures},
        }

    # Trials.

    def _trial(self, trial):
        optuna = trials_.import_optuna()
        # By the number, so that workers differ and one worker repeats itself.
        draw = np.random.SeedSequence([self.plan.seed, trial.number])
        self.jobs.study.sampler = optuna.samplers.TPESampler(
            seed=int(draw.generate_state(1)[0]), multivariate=False
        )
        setting = self.plan.setting(trial)
        began = time.monotonic()

        def judged(guided, accuracy):
            outcome = self._outcome(guided.model, setting, accuracy)
            outcome["seconds"] = time.monotonic() - began
            trial.set_user_attr(_OUTCOME, outcome)
            return outcome

        def at_rung(guided, epoch):
            before = self.reference["reached"][str(epoch)]
            outcome = judged(guided, before)
            # Where too much is lost, a point of it costs a deviation.
            excess = max(0.0, self._excess(outcome["lost"]))
            trial.report(outcome["faithfulness"] - 100 * excess, epoch)
            if trial.should_prune():
                self._end(trial, outcome, pruned=True)

        with self.progress.timed():
            try:
                guided = self.plan.recipe.trained(
                    self.plan.seed,
                    setting.guidances,
                    setting.step_fraction,
                    setting.start,
                    at_rung,
                )
            except Diverged:
                self._end(trial, {"lost": 1.0}, pruned=True)
            outcome = judged(guided, self.reference["accuracy"])
        return self._end(trial, outcome)

    def _excess(self, lost):
        """The accuracy lost beyond the tolerance, and beyond doubt.

        Few samples cannot tell a loss as small as the tolerance; those of the
        confirmation then have to.
        """
        doubt = self._doubt(self.reference["accuracy"])
        return lost - self.plan.tolerance - doubt

    def _doubt(self, accuracy):
        """The standard error of an accuracy."""
        variance = accuracy * (1 - accuracy)
        return (variance / len(self.plan.chosen_by.x)) ** 0.5

    def _outcome(self, model, setting, accuracy):
        plan = self.plan
        values = plan.measured(model, plan.chosen_by)
        means = {m: float(values[m].mean()) for m in plan.measures}
        found = float(values["accuracy"].mean())
        return {
            "accuracy": found,
            "lost": accuracy - found,
            "means": means,
            "faithfulness": known_measures.faithfulness(
                means, self.reference, plan.fair_measures(setting)
            ),
        }

    def _end(self, trial, outcome, pruned=False):
        with warnings.catch_warnings():
            # A worker that died after this line has handed the value on.
            warnings.filterwarnings("ignore", "The constraint value is ignored")
            trial.set_constraint("accuracy", self._excess(outcome["lost"]))
        gc.collect()
        self.progress.trial(trial.number, trial.params, outcome, pruned)
        if pruned:
            raise trials_.import_optuna().TrialPruned
        return outcome["faithfulness"]

    def _rows(self):
        return [
            Row(
                t.number, t.state.name.lower(), t.params, t.user_attrs[_OUTCOME]
            )
            for t in self.jobs.done()
            if _OUTCOME in t.user_attrs
        ]

    def _chosen(self):
        """The most faithful of the trials that keep the accuracy."""
        good = [
            row
            for row in self._rows()
            if row.state == "complete"
            and self._excess(row.outcome["lost"]) <= 1e-9
            and row.outcome["faithfulness"] > 0
        ]
        return max(
            good,
            key=lambda row: (row.outcome["faithfulness"], -row.number),
            default=None,
        )

    # Confirmation.

    def _confirm(self):
        chosen = self._chosen()
        if chosen is None:
            self._keep(TRADITIONAL, None, self.plan.seed)
            return
        setting = self._setting(chosen)
        self.progress.say(f"confirming {setting.title}")
        jobs = trials_.Jobs(
            self.storage,
            f"{self.name}, confirmation of trial {chosen.number}",
            {**self.plan.signature(), "params": chosen.params},
            [
                {"training": training, "seed": self._fresh + i}
                for i in range(self.seeds)
                for training in TRAININGS
            ],
        )
        self.models.clear()
        try:
            jobs.work(lambda trial: self._confirming(trial, setting))
        finally:  # of an interrupted one, the seeds that are complete
            self.confirmation = self._compared(jobs, setting)
        wins = self.confirmation.wins
        self._keep(GUIDED if wins else TRADITIONAL, setting, self._fresh)

    def _setting(self, row):
        optuna = trials_.import_optuna()
        return self.plan.setting(optuna.trial.FixedTrial(row.params))

    def _confirming(self, trial, setting):
        job = trial.user_attrs[trials_.JOB]
        with self.progress.timed():
            try:
                guided = self._train(job["training"], setting, job["seed"])
                values = self.plan.measured(
                    guided.model, self.plan.confirmed_by
                )
            except Diverged:
                values = None
        if values is None:
            raise ValueError(
                f"The loss of {job['training']} training of {setting.title} is "
                f"no number with the seed {job['seed']}: nothing can be "
                "confirmed. Lower the learning rate, or clip gradients."
            )
        if job["seed"] == self._fresh:
            self.models[job["training"]] = guided
        trial.set_user_attr(
            _OUTCOME, {k: np.round(v, 6).tolist() for k, v in values.items()}
        )
        accuracy = float(values["accuracy"].mean())
        self.progress.confirmed(job, accuracy)
        return accuracy

    def _train(self, training, setting, seed):
        if training == TRADITIONAL:
            return self.plan.recipe.trained(seed)
        return self.plan.recipe.trained(
            seed,
            setting.guidances if training == GUIDED else setting.controls,
            setting.step_fraction,
            setting.start,
        )

    def _keep(self, training, setting, seed):
        """Trains the best model here, where another worker trained it."""
        if training not in self.models:
            self.models[training] = self._train(training, setting, seed)

    def _compared(self, jobs, setting):
        by_seed = {}
        for t in jobs.done():
            job = t.user_attrs[trials_.JOB]
            found = by_seed.setdefault(job["seed"], {})
            found[job["training"]] = t.user_attrs[_OUTCOME]
        complete = [
            found
            for _, found in sorted(by_seed.items())
            if len(found) == len(TRAININGS)
        ]
        if len(complete) < 2:
            return None
        values = {
            training: {
                key: np.array([found[training][key] for found in complete])
                for key in ("accuracy", *self.plan.measures)
            }
            for training in TRAININGS
        }
        return _confirmation(self.plan, self.reference, setting, values)


def _mean(values):
    return float(np.mean(list(values)))


def _confirmation(plan, reference, setting, values):
    fair = plan.fair_measures(setting)
    only = fair[0] if len(fair) == 1 else None
    return Confirmation(
        title=setting.title,
        measures=fair,
        accuracies={t: v["accuracy"] for t, v in values.items()},
        values={
            t: known_measures.faithfulness(v, reference, fair)
            for t, v in values.items()
        },
        raw=only and {t: float(v[only].mean()) for t, v in values.items()},
        scale=(reference["spreads"][only] or 1.0) if only else 1.0,
        tolerance=plan.tolerance,
    )
