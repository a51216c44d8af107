"""SaliencyGuidedModel as a user of Keras meets it."""

import pydoc
import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_sgt

BACKEND = keras.backend.backend()
CROSSENTROPY = "sparse_categorical_crossentropy"


def network(activation="softmax", seed=0):
    """With what makes training hard to repeat: dropout and statistics."""
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(4, activation=activation),
        ]
    )


def compiled(model, **options):
    guided = keras_sgt.SaliencyGuidedModel(model, **options)
    guided.compile("adam", CROSSENTROPY, metrics=["accuracy"])
    return guided


class Counting(keras_sgt.masking.Replacement):
    """Counts how often Python runs through it: once a trace."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def call(self, inputs, mask, saliency):
        self.calls += 1
        return ops.zeros_like(inputs)


class TestFit:
    def test_logs_and_history(self, images):
        guided = compiled(network())
        history = guided.fit(
            *images, validation_data=images, epochs=2, verbose=0
        ).history
        assert set(history) == {
            "accuracy",
            "divergence",
            "loss",
            "val_accuracy",
            "val_loss",
        }
        assert np.isfinite([*history.values()]).all()
        assert min(history["divergence"]) > 0

    def test_evaluate_and_predict_are_those_of_the_wrapped_model(self, images):
        x, y = images
        guided = compiled(network())
        guided.fit(x, y, verbose=0)
        guided.model.compile("adam", CROSSENTROPY, metrics=["accuracy"])
        expected = guided.model.evaluate(x, y, verbose=0, return_dict=True)
        found = guided.evaluate(x, y, verbose=0, return_dict=True)
        assert found == pytest.approx(expected, rel=1e-6)
        np.testing.assert_array_equal(
            guided.predict(x, verbose=0), guided.model.predict(x, verbose=0)
        )

    def test_learns(self, images):
        guided = compiled(network(), kl_weight=0.5)
        guided.fit(*images, epochs=30, batch_size=10, verbose=0)
        assert guided.evaluate(*images, verbose=0, return_dict=True)[
            "accuracy"
        ] == pytest.approx(1, abs=0.1)

    @pytest.mark.parametrize("kind", ["tf.data", "PyDataset", "DataLoader"])
    def test_kinds_of_data(self, images, kind):
        if kind == "tf.data":
            tf = pytest.importorskip("tensorflow")
            data = tf.data.Dataset.from_tensor_slices(images).batch(25)
        elif kind == "DataLoader":
            torch = pytest.importorskip("torch")
            tensors = [torch.from_numpy(a) for a in images]
            dataset = torch.utils.data.TensorDataset(*tensors)
            data = torch.utils.data.DataLoader(dataset, batch_size=25)
        else:

            class Data(keras.utils.PyDataset):
                def __len__(self):
                    return 3

                def __getitem__(self, i):
                    return tuple(a[25 * i : 25 * (i + 1)] for a in images)

            data = Data()
        guided = compiled(network())
        history = guided.fit(data, validation_data=data, verbose=0).history
        assert history["divergence"][0] > 0
        assert np.isfinite(history["val_loss"][0])

    def test_train_on_batch(self, images):
        logs = compiled(network()).train_on_batch(*images, return_dict=True)
        assert {"loss", "divergence", "accuracy"} == set(logs)
        assert logs["divergence"] > 0

    @pytest.mark.parametrize("eagerly", [True, False])
    def test_run_eagerly(self, images, eagerly):
        guided = compiled(network())
        guided.compile("sgd", CROSSENTROPY, run_eagerly=eagerly)
        logs = guided.fit(*images, verbose=0).history
        assert np.isfinite(logs["loss"][0])

    def test_callbacks_see_the_divergence(self, images, tmp_path):
        best = tmp_path / "best.keras"
        guided = compiled(network())
        guided.fit(
            *images,
            epochs=3,
            verbose=0,
            callbacks=[
                keras.callbacks.ModelCheckpoint(
                    best, monitor="divergence", save_best_only=True, mode="min"
                ),
                keras.callbacks.CSVLogger(tmp_path / "log.csv"),
                keras.callbacks.EarlyStopping("loss", patience=5),
            ],
        )
        assert "divergence" in (tmp_path / "log.csv").read_text()
        assert best.exists()

    def test_small_and_partial_batches(self, images):
        x, y = images
        history = compiled(network()).fit(x[:7], y[:7], batch_size=3, verbose=0)
        assert np.isfinite(history.history["loss"][0])
        history = compiled(network()).fit(x[:1], y[:1], verbose=0)
        assert np.isfinite(history.history["loss"][0])

    @pytest.mark.parametrize("dtype", ["float64", "float16"])
    def test_other_float_inputs(self, images, dtype):
        x, y = images
        history = compiled(network()).fit(x.astype(dtype), y, verbose=0).history
        assert history["divergence"][0] > 0

    def test_constant_images_have_nothing_to_mask(self, images):
        _, y = images
        flat = np.full((60, 8, 8, 1), 0.3, "float32")
        guided = compiled(keras.Sequential([layers.Flatten(), layers.Dense(4)]))
        guided.compile(
            "sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        history = guided.fit(flat, y, verbose=0).history
        assert history["divergence"][0] == pytest.approx(0, abs=1e-6)


class TestPlainTraining:
    def test_kl_weight_0_is_keras_fit_bit_for_bit(self, images, monkeypatch):
        x, y = images

        def trained(wrap):
            model = network(seed=1)
            trainer = wrap(model)
            trainer.compile("adam", CROSSENTROPY, metrics=["accuracy"])
            keras.utils.set_random_seed(2)
            history = trainer.fit(
                x, y, batch_size=16, epochs=2, shuffle=True, verbose=0
            )
            return model.get_weights(), history.history

        expected, expected_logs = trained(lambda model: model)

        def no_gradient(function, inputs):
            raise AssertionError("an input gradient was computed")

        monkeypatch.setattr(keras_sgt.backend, "input_gradients", no_gradient)
        found, logs = trained(
            lambda model: keras_sgt.SaliencyGuidedModel(model, kl_weight=0)
        )
        for a, b in zip(expected, found):
            np.testing.assert_array_equal(a, b)
        assert logs == expected_logs

    def test_a_call_without_training(self, images):
        """Keras runs dropout in such a model as in inference."""

        class Net(keras.Model):
            def __init__(self):
                super().__init__()
                self.stack = network(seed=1).layers

            def call(self, x):
                for layer in self.stack:
                    x = layer(x)
                return x

        def trained(wrap):
            model = Net()
            trainer = wrap(model)
            trainer.compile("sgd", CROSSENTROPY)
            keras.utils.set_random_seed(2)
            trainer.fit(*images, batch_size=30, verbose=0)
            return model.get_weights()

        expected = trained(lambda model: model)
        found = trained(
            lambda model: keras_sgt.SaliencyGuidedModel(model, kl_weight=0)
        )
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_the_weight_can_leave_and_reach_0_while_training(self, images):
        logs_of = {}

        class Schedule(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                logs_of[batch] = dict(logs)
                self.model.kl_weight = [0.0, 1.0, 0.0, 1.0][batch]

        guided = compiled(network(), kl_weight=0)
        guided.fit(*images, batch_size=15, verbose=0, callbacks=[Schedule()])
        regularised = ["divergence" in logs_of[i] for i in range(4)]
        assert regularised == [False, False, True, False]

    def test_divergence_is_weighted(self, images):
        """One step of plain SGD moves the weights along the sum."""
        steps = {}
        for weight in (0.0, 1.0, 3.0):
            model = network(seed=1)
            before = model.get_weights()[0]
            guided = keras_sgt.SaliencyGuidedModel(
                model,
                kl_weight=weight,
                masking=keras_sgt.masking.FeatureMasking(replacement="mean"),
            )
            guided.compile(keras.optimizers.SGD(0.1), CROSSENTROPY)
            keras.utils.set_random_seed(3)
            model.layers[3].rate = 0.0
            guided.train_on_batch(*images)
            steps[weight] = model.get_weights()[0] - before
        along = steps[1.0] - steps[0.0]
        assert np.abs(along).max() > 0
        np.testing.assert_allclose(
            steps[3.0] - steps[0.0], 3 * along, rtol=1e-2, atol=1e-6
        )


class TestSettings:
    """`kl_weight` and `mask_fraction` are settings, not weights."""

    def test_restored_weights_do_not_bring_old_ones_back(self, images):
        """The first epoch is the best, and has other settings than the last."""
        x, y = images

        class Schedule(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.model.kl_weight = [0.1, 2.0][epoch]
                self.model.mask_fraction = [0.25, 1.0][epoch]

            def on_epoch_end(self, epoch, logs=None):
                logs["told"] = epoch

        zeros = keras_sgt.masking.FeatureMasking(replacement="constant")
        guided = compiled(network(), masking=zeros)
        first = keras.callbacks.EarlyStopping(
            "told", mode="min", patience=5, restore_best_weights=True
        )
        guided.fit(x, y, epochs=2, verbose=0, callbacks=[Schedule(), first])
        assert (guided.kl_weight, guided.mask_fraction) == (2.0, 1.0)
        assert len(guided.get_weights()) == len(guided.model.get_weights())
        supervised = guided.evaluate(x, y, verbose=0, return_dict=True)["loss"]
        guided.model.layers[3].rate = 0.0
        guided.model.layers[1].trainable = False  # as in inference
        guided.compile("sgd", CROSSENTROPY)
        assert (guided.mask_on_batch(x, y) == 0).all()
        logs = guided.train_on_batch(x, y, return_dict=True)
        assert logs["loss"] == pytest.approx(
            supervised + 2 * logs["divergence"], rel=1e-4
        )

    def test_the_batch_fraction_is_that_of_the_last_compile(self, images):
        guided = compiled(network(), masking=None)
        guided.batch_fraction = 0.25
        replacement = Rows()
        guided.masking.replacement = replacement
        guided.compile("sgd", CROSSENTROPY)
        guided.train_on_batch(*images)
        assert replacement.rows == 15

    def test_a_model_with_a_training_step_of_its_own(self):
        class Own(keras.Model):
            def compute_loss(self, **kwargs):
                return 0.0

        with pytest.warns(UserWarning, match="compute_loss"):
            keras_sgt.SaliencyGuidedModel(Own())


class Rows(keras_sgt.masking.Replacement):
    """Notes how many samples are masked at once."""

    def call(self, inputs, mask, saliency):
        self.rows = inputs.shape[0]
        return ops.zeros_like(inputs)


class TestTraces:
    @pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
    def test_one_trace_a_shape_whatever_changes(self, images):
        class Changes(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                self.model.kl_weight = 0.5 + batch
                self.model.mask_fraction = 0.1 * (1 + batch)

        replacement = Counting()
        guided = compiled(
            network(),
            masking=keras_sgt.masking.FeatureMasking(replacement=replacement),
        )
        for _ in range(2):
            guided.fit(
                *images,
                batch_size=16,
                epochs=3,
                verbose=0,
                validation_data=images,
                callbacks=[Changes()],
            )
        # 16 samples, and the last 12; before them a look at a few.
        assert replacement.calls <= 3

    @pytest.mark.parametrize("fraction", [0.25, 0.75])
    def test_a_changed_fraction_is_used(self, images, fraction):
        masked = []

        class Recording(keras_sgt.masking.Replacement):
            def call(self, inputs, mask, saliency):
                masked.append(int(ops.sum(ops.cast(mask, "int32"))))
                return ops.zeros_like(inputs)

        guided = compiled(
            network(),
            masking=keras_sgt.masking.FeatureMasking(replacement=Recording()),
        )
        guided.compile("sgd", CROSSENTROPY, run_eagerly=True)
        guided.mask_fraction = fraction
        guided.train_on_batch(*images)
        assert masked == [60 * int(64 * fraction)]
        assert guided.mask_fraction == fraction

    def test_zero_weight_is_another_program(self, images):
        guided = compiled(network())
        held = []
        for weight in (1, 0, 1):
            guided.kl_weight = weight
            logs = guided.train_on_batch(*images, return_dict=True)
            assert ("divergence" in logs) == (weight > 0)
            held.append(guided.train_function)  # as other code might


class TestBatchFraction:
    def test_masks_an_evenly_strided_share(self, images):
        x, y = images
        seen = []

        class Recording(keras_sgt.masking.Replacement):
            def call(self, inputs, mask, saliency):
                seen.append(ops.convert_to_numpy(inputs))
                return ops.zeros_like(inputs)

        guided = compiled(
            network(),
            batch_fraction=1 / 3,
            masking=keras_sgt.masking.FeatureMasking(replacement=Recording()),
        )
        guided.compile("sgd", CROSSENTROPY, run_eagerly=True)
        guided.train_on_batch(x[:20], y[:20])
        np.testing.assert_array_equal(seen[0], x[:20:3])


class First(keras_sgt.masking.Replacement):
    """Notes the first value of each batch that is masked."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, inputs, mask, saliency):
        self.seen.append(float(ops.convert_to_numpy(inputs).flat[0]))
        return ops.zeros_like(inputs)


def own_loop(guided, batches):
    """Trains as Keras's guides to custom training loops do."""
    if BACKEND != "jax":
        for batch in batches:
            guided.train_step(batch)
        return
    variables = [
        guided.trainable_variables,
        guided.non_trainable_variables,
        guided.optimizer.variables,
        guided.metrics_variables,
    ]
    state = tuple([v.value for v in group] for group in variables)
    for batch in batches:
        _, state = guided.train_step(state, batch)


class TestStepFraction:
    def recording(self, step_fraction):
        """A model, and the first value of each batch that it masks."""
        first = First()
        guided = keras_sgt.SaliencyGuidedModel(
            network(),
            step_fraction=step_fraction,
            masking=keras_sgt.masking.FeatureMasking(replacement=first),
        )
        guided.compile("sgd", CROSSENTROPY, run_eagerly=True)
        return guided, first.seen

    @pytest.mark.parametrize("kind", ["arrays", "generator"])
    def test_every_third_step_is_guided(self, images, kind):
        x, y = images
        guided, seen = self.recording(1 / 3)
        options = {"verbose": 0}
        if kind == "arrays":
            guided.fit(x, y, batch_size=15, epochs=2, shuffle=False, **options)
            steps = [0, 3, 2]  # of 4 in each epoch
        else:  # of which nobody knows where it ends
            for _ in range(2):
                batches = ((x[i : i + 15], y[i : i + 15]) for i in (0, 15, 30))
                guided.fit(batches, **options)
            steps = [0, 0]
        assert seen == [x[15 * step].flat[0] for step in steps]

    def test_training_loop_of_ones_own_is_guided_in_every_step(self, images):
        x, y = images
        guided, seen = self.recording(1 / 2)
        guided.fit(x, y, batch_size=30, shuffle=False, verbose=0)
        assert seen == [x[0].flat[0]]  # and the last step was a plain one
        steps = [(x[i : i + 5], y[i : i + 5]) for i in range(0, 15, 5)]
        own_loop(guided, steps)
        assert seen[1:] == [batch.flat[0] for batch, _ in steps]

    def test_steps_between_are_those_of_keras(self, images):
        """And the guided one weighs the divergence for both."""
        x, y = images

        def trained(in_two, **options):
            keras.utils.set_random_seed(0)
            model = keras.Sequential([layers.Flatten(), layers.Dense(4)])
            model.build((None, 8, 8, 1))
            masking = keras_sgt.masking.FeatureMasking(
                replacement=keras_sgt.masking.Constant(0)
            )
            guided = keras_sgt.SaliencyGuidedModel(
                model, masking=masking, **options
            )
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            halves = (x[:30], y[:30]), (x[30:], y[30:])
            guided.compile(keras.optimizers.SGD(0.1), loss)
            if in_two:
                guided.train_on_batch(*halves[0])
                model.compile(keras.optimizers.SGD(0.1), loss)
                model.train_on_batch(*halves[1])
            else:
                guided.fit(x, y, batch_size=30, shuffle=False, verbose=0)
            return model.get_weights()

        found = trained(False, step_fraction=1 / 2, kl_weight=0.4)
        expected = trained(True, kl_weight=0.8)
        for a, b in zip(found, expected):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)

    def test_logs_the_divergence_in_every_step(self, images):
        class Names(keras.callbacks.Callback):
            def on_train_begin(self, logs=None):
                self.seen = []

            def on_train_batch_end(self, batch, logs=None):
                self.seen.append(set(logs))

        names = Names()
        guided = compiled(network(), step_fraction=1 / 4)
        history = guided.fit(
            *images, batch_size=10, verbose=0, callbacks=[names]
        ).history
        assert names.seen == [{"loss", "accuracy", "divergence"}] * 6
        assert history["divergence"][0] > 0

    @pytest.mark.skipif(BACKEND == "torch", reason="PyTorch does not trace")
    def test_one_trace_a_shape(self, images):
        replacement = Counting()
        guided = compiled(
            network(),
            step_fraction=1 / 2,
            masking=keras_sgt.masking.FeatureMasking(replacement=replacement),
        )
        for _ in range(2):
            guided.fit(*images, batch_size=16, epochs=3, verbose=0)
        # 16 samples, and the last 12; before them a look at a few.
        assert replacement.calls <= 3

    def test_every_step_again_after_the_next_compile(self, images):
        guided, seen = self.recording(1 / 2)
        guided.fit(*images, batch_size=30, verbose=0)
        guided.step_fraction = 1.0
        guided.fit(*images, batch_size=30, verbose=0)
        assert len(seen) == 2
        guided.compile("sgd", CROSSENTROPY, run_eagerly=True)
        guided.fit(*images, batch_size=30, verbose=0)
        assert len(seen) == 4

    def test_plainly_and_back(self, images):
        guided, seen = self.recording(1 / 2)
        for weight, masked in ((1, 1), (0, 1), (1, 2)):
            guided.kl_weight = weight
            logs = guided.fit(*images, batch_size=30, verbose=0).history
            assert len(seen) == masked
            assert ("divergence" in logs) == (weight > 0)

    @pytest.mark.skipif(BACKEND == "torch", reason="refused by Keras")
    def test_whole_executions(self, images):
        """Several steps in a call of Keras's."""
        guided = compiled(network(), step_fraction=1 / 2)
        guided.compile("sgd", CROSSENTROPY, steps_per_execution=2)
        history = guided.fit(*images, batch_size=15, verbose=0).history
        assert history["divergence"][0] > 0
        assert int(guided.optimizer.iterations) == 4


class TestThreeWaysIn:
    def test_subclass(self, images):
        class Net(keras_sgt.SaliencyGuidedModel):
            def __init__(self, units, **kwargs):
                super().__init__(**kwargs)
                self.units = units
                self.flatten = layers.Flatten()
                self.dense = layers.Dense(units, activation="softmax")

            def call(self, x):
                return self.dense(self.flatten(x))

        guided = Net(4, mask_fraction=0.25)
        guided.compile("adam", CROSSENTROPY)
        history = guided.fit(*images, validation_data=images, verbose=0).history
        assert history["divergence"][0] > 0
        masked = guided.mask_on_batch(*images)
        np.testing.assert_array_equal(
            (masked != images[0]).sum((1, 2, 3)), np.full(60, 16)
        )

    def test_functional(self, images):
        inputs = keras.Input((8, 8, 1))
        outputs = layers.Dense(4, activation="softmax")(
            layers.Flatten()(inputs)
        )
        guided = keras_sgt.SaliencyGuidedModel(inputs=inputs, outputs=outputs)
        guided.compile("adam", CROSSENTROPY)
        assert guided.fit(*images, verbose=0).history["divergence"][0] > 0
        assert guided.model.output_shape == (None, 4)

    def test_unbuilt_and_summary(self, images, capsys):
        model = keras.Sequential([layers.Flatten(), layers.Dense(4, "softmax")])
        guided = compiled(model)
        assert (guided.mask_on_batch(*images) != images[0]).any()
        guided.fit(*images, verbose=0)
        guided.summary()
        assert "260" in capsys.readouterr().out

    def test_wrapped_model_is_the_one_that_is_trained(self, images):
        model = network()
        before = model.get_weights()
        guided = compiled(model)
        assert guided.model is model
        guided.fit(*images, verbose=0)
        assert (model.get_weights()[0] != before[0]).any()


class TestSaliency:
    """Of a linear model, whose gradients are its weights."""

    def linear(self, activation=None, scale=1.0, units=3):
        model = keras.Sequential(
            [keras.Input((6,)), layers.Dense(units, activation, use_bias=False)]
        )
        rng = np.random.default_rng(0)
        weights = scale * rng.normal(size=(6, units)).astype("float32")
        model.set_weights([weights])
        return model, weights

    def masked(self, model, loss, x, y, **options):
        masking = keras_sgt.masking.FeatureMasking(
            replacement=keras_sgt.masking.Constant(float("nan"))
        )
        guided = keras_sgt.SaliencyGuidedModel(
            model, masking=masking, **options
        )
        guided.compile("sgd", loss)
        return np.isnan(guided.mask_on_batch(x, y))

    def expected(self, gradients):
        order = np.argsort(gradients, axis=1)[:, :3]
        mask = np.zeros(gradients.shape, bool)
        np.put_along_axis(mask, order, True, axis=1)
        return mask

    @pytest.mark.parametrize("one_hot", [False, True])
    @pytest.mark.parametrize("scale", [1, 100])
    def test_true_class_even_where_the_softmax_saturates(self, scale, one_hot):
        model, weights = self.linear("softmax", scale)
        x = np.random.default_rng(1).normal(size=(8, 6)).astype("float32")
        y = np.arange(8) % 3
        loss = CROSSENTROPY
        labels = y
        if one_hot:
            loss, labels = "categorical_crossentropy", np.eye(3)[y]
        mask = self.masked(model, loss, x, labels)
        np.testing.assert_array_equal(mask, self.expected(weights.T[y]))

    @pytest.mark.parametrize("head", ["Softmax", "Activation", "subclass"])
    def test_logits_are_found_behind_other_heads(self, head):
        model, weights = self.linear(None, 100)
        if head == "subclass":

            class Net(keras.Model):
                def __init__(self, inner):
                    super().__init__()
                    self.inner = inner
                    self.head = layers.Activation("softmax")

                def call(self, x):
                    return self.head(self.inner(x))

            model = Net(model)
        else:
            layer = layers.Softmax() if head == "Softmax" else None
            model.add(layer or layers.Activation("softmax"))
        x = np.random.default_rng(1).normal(size=(8, 6)).astype("float32")
        y = np.arange(8) % 3
        mask = self.masked(model, CROSSENTROPY, x, y)
        np.testing.assert_array_equal(mask, self.expected(weights.T[y]))

    def test_one_sigmoid_unit_and_several_labels(self):
        x = np.random.default_rng(1).normal(size=(4, 6)).astype("float32")
        for units in (1, 3):
            model, weights = self.linear("sigmoid", 100, units)
            y = np.random.default_rng(2).integers(0, 2, (4, units))
            mask = self.masked(model, "binary_crossentropy", x, y)
            gradients = (2 * y - 1) @ weights.T
            np.testing.assert_array_equal(mask, self.expected(gradients))
        flat = self.masked(
            self.linear("sigmoid", 1, 1)[0], "binary_crossentropy", x, y[:, 0]
        )
        assert flat.sum() == 12

    def test_regression(self):
        model, weights = self.linear(None, 1, 2)
        x = np.random.default_rng(1).normal(size=(4, 6)).astype("float32")
        mask = self.masked(model, "mse", x, np.zeros((4, 2)))
        gradients = np.tile(weights.sum(1), (4, 1))
        np.testing.assert_array_equal(mask, self.expected(gradients))

    def test_predicted_class(self):
        model, weights = self.linear("softmax")
        x = np.random.default_rng(1).normal(size=(8, 6)).astype("float32")
        y = (x @ weights).argmax(-1)
        mask = self.masked(
            model, CROSSENTROPY, x, None, saliency_target="prediction"
        )
        np.testing.assert_array_equal(mask, self.expected(weights.T[y]))

    def test_own_target(self):
        model, weights = self.linear("softmax")
        x = np.random.default_rng(1).normal(size=(4, 6)).astype("float32")

        mask = self.masked(
            model,
            CROSSENTROPY,
            x,
            None,
            saliency_target=lambda y, outputs: (
                ops.log(outputs[:, 0]) - ops.log(outputs[:, 1])
            ),
        )
        gradients = np.tile(weights[:, 0] - weights[:, 1], (4, 1))
        np.testing.assert_array_equal(mask, self.expected(gradients))

    def test_leaves_no_trace(self, images):
        """Neither statistics nor random state change."""
        guided = compiled(network())
        before = [ops.convert_to_numpy(v) for v in guided.variables]
        first = guided.mask_on_batch(*images)
        np.testing.assert_array_equal(first, guided.mask_on_batch(*images))
        for a, variable in zip(before, guided.variables):
            np.testing.assert_array_equal(a, ops.convert_to_numpy(variable))

    def test_follows_the_weights_the_fraction_and_the_loss(self):
        """Asked amid `fit`, after it, and when compiled anew."""
        model, _ = self.linear(scale=0.1)
        masking = keras_sgt.masking.FeatureMasking(
            replacement=keras_sgt.masking.Constant(7.0)
        )
        guided = keras_sgt.SaliencyGuidedModel(model, 0.5, 0.01, masking)
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        guided.compile(keras.optimizers.SGD(1.0), loss)
        x = np.random.default_rng(1).random((12, 6), dtype="float32")
        labels = np.arange(12) % 3
        y = np.eye(3, dtype="float32")[labels]
        masks = []

        def check(batch, logs):
            masks.append(guided.mask_on_batch(x, y) == 7)
            gradients = model.get_weights()[0].T[labels]
            np.testing.assert_array_equal(masks[-1], self.expected(gradients))

        seen = keras.callbacks.LambdaCallback(on_train_batch_end=check)
        guided.fit(x, y, batch_size=3, verbose=0, callbacks=[seen])
        check(None, None)
        assert len(masks) == 5
        assert (masks[0] != masks[-1]).any()
        guided.mask_fraction = 1 / 6
        assert (guided.mask_on_batch(x, y) == 7).sum() == 12
        guided.mask_fraction = 1 / 2
        guided.compile("sgd", "mse")
        all_outputs = np.tile(model.get_weights()[0].sum(1), (12, 1))
        np.testing.assert_array_equal(
            guided.mask_on_batch(x, y) == 7,
            self.expected(all_outputs),
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_fraction": -0.1}, "mask_fraction=-0.1"),
        ({"mask_fraction": 1.1}, "mask_fraction=1.1"),
        ({"mask_fraction": float("nan")}, "mask_fraction=nan"),
        ({"mask_fraction": 40}, "k / n"),
        ({"mask_fraction": "half"}, "mask_fraction='half'"),
        ({"mask_fraction": True}, "mask_fraction=True"),
        ({"kl_weight": -1}, "kl_weight=-1"),
        ({"kl_weight": float("inf")}, "kl_weight=inf"),
        ({"batch_fraction": 0}, "batch_fraction"),
        ({"batch_fraction": 0.3}, "1/2, 1/3"),
        ({"step_fraction": 1.5}, "step_fraction=1.5"),
        ({"divergence": "kl"}, "keras_sgt.divergences"),
        ({"saliency_target": "class"}, "'prediction'"),
        ({"masking": "signd"}, "FeatureMasking"),
        ({"masking": layers.Dropout(0.5)}, "FeatureMasking"),
        ({"masking": keras_sgt.masking.Mean()}, "FeatureMasking"),
        ({"divergence": {"kind": "kl"}}, "keras_sgt.divergences"),
        ({"seed": 1, "masking": keras_sgt.masking.FeatureMasking()}, "seed"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        keras_sgt.SaliencyGuidedModel(network(), **options)


class TestBadInput:
    def test_models_that_are_none(self):
        with pytest.raises(ValueError, match="needs a model"):
            keras_sgt.SaliencyGuidedModel()
        with pytest.raises(ValueError, match=r"keras\.Sequential"):
            keras_sgt.SaliencyGuidedModel(layers.Dense(3))
        with pytest.raises(ValueError, match=r"guided\.model"):
            keras_sgt.SaliencyGuidedModel(compiled(network()))
        with pytest.raises(ValueError, match="outputs"):
            keras_sgt.SaliencyGuidedModel(inputs=keras.Input((3,)))

    def test_bad_values_while_training_change_nothing(self):
        guided = compiled(network())
        with pytest.raises(ValueError, match="mask_fraction"):
            guided.mask_fraction = 2
        with pytest.raises(ValueError, match="kl_weight"):
            guided.kl_weight = -1
        assert (guided.mask_fraction, guided.kl_weight) == (0.5, 1.0)

    def test_strings_of_masking(self):
        with pytest.raises(ValueError, match="'absolute'"):
            keras_sgt.masking.FeatureMasking(ranking="largest")
        with pytest.raises(ValueError, match="channel_axis=0"):
            keras_sgt.masking.FeatureMasking(channel_axis=0)

    def test_losses_without_a_divergence(self, images):
        for loss in ("poisson", None, "crossentropy"):
            guided = keras_sgt.SaliencyGuidedModel(network())
            with pytest.raises(ValueError, match="divergence="):
                guided.compile("sgd", loss)
            assert not guided.compiled
        guided.kl_weight = 0
        guided.compile("sgd", "poisson")
        with pytest.raises(ValueError, match="divergence="):
            guided.kl_weight = 1

    def test_own_divergence_needs_a_target_when_the_loss_has_none(self, images):
        def divergence(clean, masked):
            return ops.sum(ops.abs(clean - masked), axis=-1)

        guided = keras_sgt.SaliencyGuidedModel(network(), divergence=divergence)
        with pytest.raises(ValueError, match="saliency_target"):
            guided.compile("sgd", lambda y, p: ops.mean(p, axis=-1))
        guided.compile("sgd", CROSSENTROPY)
        assert guided.fit(*images, verbose=0).history["divergence"][0] > 0

    @pytest.mark.parametrize("activation", ["softmax", None])
    def test_a_softmax_of_one_unit(self, images, activation):
        x, y = images
        model = keras.Sequential(
            [layers.Flatten(), layers.Dense(1, activation)]
        )
        if activation is None:
            with pytest.raises(ValueError, match="single unit"):
                compiled(model).fit(x, y * 0, verbose=0)
            return
        # Whatever ranks, and whatever the loss.
        blind = keras_sgt.masking.FeatureMasking("random")
        for loss in (CROSSENTROPY, "binary_crossentropy", "mse"):
            guided = keras_sgt.SaliencyGuidedModel(model, masking=blind)
            with pytest.raises(ValueError, match="single unit"):
                guided.compile("sgd", loss)

    @pytest.mark.parametrize("dtype", ["int32", "uint8"])
    def test_integers_name_token_masking(self, images, dtype):
        x, y = images
        with pytest.raises(ValueError, match="TokenMasking"):
            compiled(network()).fit(x.astype(dtype), y, verbose=0)

    def test_no_labels(self, images):
        guided = compiled(network())
        for method in (guided.mask_on_batch, guided.train_on_batch, guided.fit):
            with pytest.raises(ValueError, match="'prediction'"):
                method(images[0])

    def test_mask_on_batch_before_compile(self, images):
        guided = keras_sgt.SaliencyGuidedModel(network())
        with pytest.raises(ValueError, match="compile"):
            guided.mask_on_batch(*images)

    def test_nan_is_named_when_eager(self, images):
        x, y = images
        guided = compiled(network())
        guided.compile("sgd", CROSSENTROPY, run_eagerly=True)
        guided.model.layers[-1].kernel.assign(
            np.full(guided.model.layers[-1].kernel.shape, np.nan)
        )
        before = guided.model.get_weights()
        with pytest.raises(ValueError, match="NaN"):
            guided.fit(x, y, verbose=0)
        np.testing.assert_array_equal(before[0], guided.model.get_weights()[0])

    def test_batches_that_are_none(self, images):
        x, y = images
        guided = compiled(network())
        with pytest.raises(ValueError, match="at least one sample"):
            guided.mask_on_batch(x[:0], y[:0])
        with pytest.raises(ValueError, match="StringLookup"):
            guided.mask_on_batch(np.full(x.shape, "a"), y)
        with pytest.raises(ValueError, match=r"from 0 to \d.*from 70 to 7"):
            guided.mask_on_batch(x, y + 70)

    @pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="ragged tensors are TensorFlow's",
    )
    def test_ragged_batches(self):
        import tensorflow as tf

        guided = compiled(network())
        ragged = tf.ragged.constant([[1.0, 2.0], [3.0]])
        with pytest.raises(ValueError, match="Pad the samples"):
            guided.fit(ragged, np.array([0, 1]), verbose=0)

    def test_logits_that_the_loss_takes_for_probabilities(self):
        linear = keras.Sequential([keras.Input((4,)), layers.Dense(3)])
        guided = keras_sgt.SaliencyGuidedModel(linear)
        with pytest.warns(UserWarning, match="from_logits=True"):
            guided.compile("sgd", "sparse_categorical_crossentropy")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            guided.compile("sgd", "mse")

    def test_unknown_input_name(self, images):
        guided = compiled(
            network(), masking=keras_sgt.masking.FeatureMasking(inputs="image")
        )
        with pytest.raises(ValueError, match="do not exist"):
            guided.fit(*images, verbose=0)


@pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="XLA finds what is the same"
)
@pytest.mark.parametrize(
    ("first", "forwards"), [(layers.ReLU(), 2), (layers.Dropout(0.5), 3)]
)
def test_what_training_repeats_is_computed_once(first, forwards):
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Convolutions(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += func is torch.ops.aten.convolution.default
            return func(*args, **(kwargs or {}))

    convolution = layers.Conv2D(8, 3, activation="relu")
    model = keras.Sequential(
        [
            keras.Input((9, 9, 1)),
            first,
            convolution,
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    guided = keras_sgt.SaliencyGuidedModel(model)
    guided.compile("sgd", "mse")
    # As `fit` makes them: of float64 the first layer would make another tensor.
    batch = np.ones((4, 9, 9, 1), "float32"), np.ones((4, 3), "float32")
    guided.train_on_batch(*batch)  # builds optimizer and metrics
    with Convolutions() as forward:
        guided.train_on_batch(*batch)
    assert forward.count == forwards
    assert "call" not in vars(convolution)


def test_help_begins_with_what_is_ours():
    told = pydoc.plain(pydoc.render_doc(keras_sgt.SaliencyGuidedModel))
    own, inherited, _ = told.partition("inherited from")
    assert inherited
    words = (
        "its gradients show",
        "mask_on_batch(self",
        "see `keras.Model.fit`",
    )
    places = [own.find(each) for each in words]
    assert -1 < places[0] < 1000
    assert -1 not in places
