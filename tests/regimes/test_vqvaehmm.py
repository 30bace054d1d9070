"""The estimator: Bayes' accuracy on simulated regimes, codes, and inputs."""

import copy
import pickle

import numpy as np
import pytest
import torch

from praesidium.component import InputError
from praesidium.regimes import hmm
from praesidium.regimes.vqvaehmm import VQVAEHMM
from praesidium.training.reproducibility import stream

A = torch.tensor([[0.98, 0.015, 0.005], [0.02, 0.97, 0.01], [0.01, 0.04, 0.95]], dtype=torch.float64)
SCALE = np.array([0.6, 1.0, 1.8])


def simulate(rows, purpose):
    """Rows of five features, their regimes, and what Bayes' rule knows of them."""
    generator = stream("tests", "vqvaehmm", purpose)
    start = hmm.stationary(A).log()
    states = hmm.sample_chain(start, A.log(), steps=rows, batch=1, generator=generator)
    scale = torch.from_numpy(SCALE).unsqueeze(-1)
    mean = 0.4 * torch.randn(3, 5, dtype=torch.float64, generator=stream("tests", "means"))
    x = mean[states[0]] + scale[states[0]] * torch.randn(rows, 5, dtype=torch.float64, generator=generator)
    likelihood = -0.5 * ((x.unsqueeze(1) - mean) / scale).square().sum(-1) - 5 * scale.log().squeeze(-1)
    oracle = hmm.filtered(start, A.log(), likelihood.unsqueeze(0))[0]
    return x.numpy(), states[0].numpy(), oracle.argmax(-1).numpy()


@pytest.fixture(scope="module")
def data():
    return simulate(5000, "training")


@pytest.fixture(scope="module")
def model(data):
    return VQVAEHMM().fit(data[0])


def test_it_reaches_the_accuracy_of_bayes_rule(data, model):
    for x, states, oracle in (data, simulate(5000, "unseen")):
        assert (oracle == states).mean() > 0.94
        assert (model.predict(x) == states).mean() > (oracle == states).mean() - 0.01
        assert (model.decode(x) == states).mean() > 0.95


def test_what_it_fitted_is_what_was_simulated(model):
    np.testing.assert_allclose(model.volatilities_, SCALE, rtol=0.1)
    np.testing.assert_allclose(model.transition_, A.numpy(), atol=0.02)
    assert model.initial_.sum() == pytest.approx(1)
    assert model.means_.shape == (3, 5)


def test_it_reports_on_its_codes_and_its_training(model):
    assert not model.collapsed_
    assert 3 < model.usage_.perplexity <= model.n_codes
    assert len(model.usage_.counts) == model.n_codes
    assert max(epoch.held_out for epoch in model.history_) >= model.history_[0].held_out


def test_samples_have_the_moments_of_the_regimes(model):
    x, states = model.sample(20_000, random_state=1)
    assert x.shape == (20_000, 5)
    for regime in range(3):
        assert x[states == regime, 0].std() == pytest.approx(model.volatilities_[regime], rel=0.06)


@pytest.fixture(scope="module")
def driven():
    """Two columns, one of inputs, two sequences."""
    x, _, _ = simulate(400, "driven")
    inputs = np.cumsum(np.random.default_rng(0).normal(size=400)) + 20
    settings = {"hidden": 8, "epochs": 3, "n_codes": 8, "emissions": "student", "posterior": "mean_field"}
    return VQVAEHMM(2, **settings).fit(x[:, :2], inputs=inputs, lengths=[250, 150]), x[:, :2], inputs


def test_inputs_are_needed_where_they_were_fitted_and_nowhere_else(model, data, driven):
    fitted, x, inputs = driven
    assert fitted.filter(x, inputs=inputs).shape == fitted.forecast(x, inputs=inputs, steps=3).shape == (400, 2)
    np.testing.assert_allclose(fitted.transition_.sum(-1), 1)
    assert fitted.sample(20)[0].shape == (20, 2)
    with pytest.raises(InputError, match="None columns, but 1 were fitted"):
        fitted.filter(x)
    with pytest.raises(InputError, match="1 columns, but None were fitted"):
        model.filter(data[0][:400], inputs=inputs)
    with pytest.raises(InputError, match="399 rows, but X has 400"):
        fitted.filter(x, inputs=inputs[:-1])
    with pytest.raises(InputError, match="1 numbers are missing"):
        fitted.filter(x, inputs=np.where(np.arange(400) == 7, np.nan, inputs))


def test_a_fit_without_inputs_forgets_an_earlier_one_with(driven):
    again = copy.deepcopy(driven[0]).fit(driven[1])
    assert again.filter(driven[1]).shape == (400, 2)


def test_a_fitted_model_survives_pickling(driven):
    fitted, x, inputs = driven
    copied = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(copied.filter(x, inputs=inputs), fitted.filter(x, inputs=inputs))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_regimes": 1}, "n_regimes: 1"),
        ({"n_codes": 2}, "n_codes: 2"),
        ({"hidden": 2}, "hidden: 2"),
        ({"emissions": "normal"}, "emissions: 'normal' is unknown"),
        ({"posterior": "structurd"}, "did you mean 'structured'"),
        ({"pseudo_stays": -1.0}, "pseudo_stays"),
        ({"held_out": 1.0}, "held_out: 1.0"),
        ({"epochs": 0}, "epochs: 0 is not a positive whole number"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        VQVAEHMM(**settings).fit(np.random.default_rng(0).normal(size=(60, 2)))
