"""Temperature scaling against a direct search, scikit-learn, and labels that contradict the probabilities."""

import numpy as np
import pytest
import torch
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from praesidium.component import InputError
from praesidium.regimes.calibration import TemperatureScaling
from praesidium.training.reproducibility import stream


def sample(rows=2000, K=3, heat=2.5, purpose="logits"):
    """Logits that are ``heat`` times too large, and labels drawn from what they should be."""
    draws = stream("tests", purpose)
    logits = torch.randn(rows, K, dtype=torch.float64, generator=draws)
    labels = torch.multinomial(logits.softmax(-1), 1, generator=draws).squeeze(-1)
    return heat * logits, labels


def loss(logits, labels, temperature):
    return float(torch.nn.functional.cross_entropy(logits / temperature, labels))


@pytest.mark.parametrize("heat", [0.3, 1.0, 2.5])
def test_no_other_temperature_scores_better(heat):
    logits, labels = sample(heat=heat)
    scaling = TemperatureScaling().fit(logits, labels)
    assert scaling.temperature == pytest.approx(heat, rel=0.15)
    assert not scaling.at_bound_
    best = loss(logits, labels, scaling.temperature)
    for other in np.geomspace(0.05, 20, 200):
        assert best <= loss(logits, labels, other) + 1e-12
    torch.testing.assert_close(scaling.transform(logits), (logits / scaling.temperature).softmax(-1))


def test_it_agrees_with_scikit_learn():
    draws = np.random.default_rng(3)
    X = draws.normal(size=(600, 4))
    y = (X @ draws.normal(size=(4, 3)) + draws.gumbel(size=(600, 3))).argmax(-1)
    overfitted = LogisticRegression(C=1e6, max_iter=2000).fit(X[:60], y[:60])
    theirs = CalibratedClassifierCV(FrozenEstimator(overfitted), method="temperature").fit(X[60:], y[60:])
    logits = torch.from_numpy(overfitted.decision_function(X))
    ours = TemperatureScaling().fit(logits[60:], torch.from_numpy(y[60:]))
    np.testing.assert_allclose(ours.transform(logits).detach().numpy(), theirs.predict_proba(X), atol=1e-4)


def test_labels_that_contradict_end_at_the_bound_and_it_is_said():
    """Without a bound T runs away to thousands without a word."""
    logits, labels = sample()
    against = logits.argmin(-1)
    scaling = TemperatureScaling(bounds=(0.1, 10.0)).fit(logits, against)
    assert scaling.temperature == pytest.approx(10.0)
    assert scaling.at_bound_
    assert "T = 10 is the upper bound; the probabilities say nothing about the labels, or the opposite" in (
        scaling.summary()
    )
    assert not scaling.informative_
    loud = TemperatureScaling().fit(30 * logits, labels)
    assert loud.informative_
    assert "surer still than they are right: raise the bound" in loud.summary()
    sure = TemperatureScaling().fit(logits, logits.argmax(-1))
    assert sure.temperature == pytest.approx(0.05)
    assert sure.at_bound_
    assert "lower bound" in sure.summary()
    assert "T = 2." in TemperatureScaling().fit(logits, labels).summary()


def test_sequences_are_rows_and_unknown_labels_do_not_count():
    logits, labels = sample(rows=600)
    flat = TemperatureScaling().fit(logits, labels).temperature
    shaped = TemperatureScaling().fit(logits.view(6, 100, 3).log_softmax(-1), labels.view(6, 100))
    assert shaped.temperature == pytest.approx(flat, rel=1e-9)
    assert shaped.transform(logits.view(6, 100, 3)).shape == (6, 100, 3)
    unknown = torch.cat([labels, torch.full((50,), -1)])
    more = torch.cat([logits, torch.full((50, 3), torch.nan, dtype=torch.float64)])
    assert TemperatureScaling().fit(more, unknown).temperature == pytest.approx(flat, rel=1e-12)


def test_probabilities_of_zero_stay_zero():
    logits, labels = sample()
    logits = torch.where(logits < logits.gather(-1, labels.unsqueeze(-1)) - 3, -torch.inf, logits)
    scaling = TemperatureScaling().fit(logits, labels)
    assert np.isfinite(scaling.temperature)
    assert torch.equal(scaling.transform(logits) == 0, logits.isneginf())


def test_where_the_temperature_does_not_matter_it_is_one():
    assert TemperatureScaling().fit(torch.zeros(5, 3), torch.tensor([0, 1, 2, 0, 1])).temperature == 1.0


@pytest.mark.parametrize(
    ("logits", "labels", "said"),
    [
        (torch.zeros(2, 3, 7), torch.zeros(2, 7, dtype=torch.int64), r"transpose \(batch, regimes, time\) first"),
        (torch.full((5, 4), 0.25), torch.zeros(5, dtype=torch.int64), r"are probabilities.*give their log\(\)"),
        (torch.zeros(5, 4), torch.full((5,), 4), "labels run from 4 to 4"),
        (torch.zeros(5, 4), torch.full((5,), -1), "no label is known"),
        (torch.full((5, 4), torch.nan), torch.zeros(5, dtype=torch.int64), "NaN"),
        (torch.tensor([[-torch.inf, 0.0]]), torch.tensor([0]), "probability 0"),
    ],
)
def test_what_cannot_be_calibrated_is_named(logits, labels, said):
    with pytest.raises(InputError, match=said):
        TemperatureScaling().fit(logits, labels)


def test_bounds_are_positive_and_in_order():
    with pytest.raises(InputError, match="0 < least < greatest"):
        TemperatureScaling(bounds=(0.0, 5.0))


def test_a_second_fit_does_not_remember_the_first():
    hot, cold = sample(heat=2.5), sample(heat=0.4, purpose="others")
    alone = TemperatureScaling().fit(*cold).temperature
    assert TemperatureScaling().fit(*hot).fit(*cold).temperature == pytest.approx(alone, rel=1e-6)
