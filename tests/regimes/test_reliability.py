"""Calibration errors and proper scores against scikit-learn and laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from praesidium.component import InputError
from praesidium.regimes.reliability import reliability

LAW = settings(deadline=None, derandomize=True, max_examples=40)


def sample(seed, rows=200, K=3, sharpness=1.5):
    """Probabilities, and labels drawn from them."""
    draws = np.random.default_rng(seed)
    logits = sharpness * draws.normal(size=(rows, K))
    probabilities = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    labels = (probabilities.cumsum(-1) > draws.uniform(size=(rows, 1))).argmax(-1)
    return probabilities, labels


@pytest.mark.parametrize("K", [2, 4])
def test_scores_are_those_of_scikit_learn(K):
    probabilities, labels = sample(K, K=K)
    found = reliability(probabilities, labels)
    assert found.log_score == pytest.approx(-log_loss(labels, probabilities, labels=range(K)))
    theirs = brier_score_loss(labels, probabilities, labels=range(K), scale_by_half=False)
    assert found.brier == pytest.approx(theirs)


def test_the_table_is_the_calibration_curve():
    probabilities, labels = sample(7)
    found = reliability(probabilities, labels, bins=8)
    hit, confidence = probabilities.argmax(-1) == labels, probabilities.max(-1)
    frequency, mean = calibration_curve(hit, confidence, n_bins=8)
    some = found.count > 0
    np.testing.assert_allclose(found.accuracy[some], frequency)
    np.testing.assert_allclose(found.confidence[some], mean)
    assert found.ece == pytest.approx((found.count[some] / 200 * np.abs(frequency - mean)).sum())
    by_class = []
    for k in range(3):
        frequency, mean = calibration_curve(labels == k, probabilities[:, k], n_bins=8)
        count = np.histogram(probabilities[:, k], bins=8, range=(0, 1))[0]
        by_class.append((count[count > 0] / 200 * np.abs(frequency - mean)).sum())
    assert found.classwise_ece == pytest.approx(np.mean(by_class))


def test_certainty_falls_into_the_last_bin_and_empty_bins_are_missing():
    sure = torch.eye(3, dtype=torch.float64)[[0, 1, 2, 2]]
    found = reliability(sure, torch.tensor([0, 1, 2, 0]))
    assert found.count.tolist() == [0] * 9 + [4]
    assert np.isnan(found.accuracy[:9]).all()
    assert np.isnan(found.confidence[:9]).all()
    assert (found.confidence[9], found.accuracy[9]) == (1.0, 0.75)
    assert found.ece == pytest.approx(0.25)
    assert found.brier == pytest.approx(0.5)
    assert found.log_score == -np.inf
    table = found.table()
    assert table["count"].sum() == 4
    assert table["to"].iloc[-1] == 1.0


def test_what_is_drawn_from_its_probabilities_is_calibrated():
    """And what is made surer than it is right is not."""
    probabilities, labels = sample(1, rows=40_000)
    found = reliability(probabilities, labels)
    assert found.ece < 0.01
    assert found.classwise_ece < 0.01
    surer = probabilities**3 / (probabilities**3).sum(-1, keepdims=True)
    assert reliability(surer, labels).ece > 0.1
    assert reliability(surer, labels).log_score < found.log_score


@LAW
@given(seed=st.integers(0, 10**6), bins=st.integers(1, 20))
def test_neither_the_order_of_rows_nor_the_names_of_regimes_matter(seed, bins):
    probabilities, labels = sample(seed, rows=50)
    rows, names = (np.random.default_rng(seed + 1).permutation(count) for count in (50, 3))
    renamed = np.empty_like(probabilities)
    renamed[:, names] = probabilities
    one, other = (
        reliability(probabilities, labels, bins=bins),
        reliability(renamed[rows], names[labels][rows], bins=bins),
    )
    for name in ("ece", "classwise_ece", "brier", "log_score"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9)
    assert 0 <= one.ece <= 1
    assert 0 <= one.brier <= 2
    assert one.count.sum() == one.rows == 50


def test_sequences_are_rows_and_what_is_missing_does_not_count():
    probabilities, labels = sample(2)
    whole = reliability(probabilities, labels)
    shaped = torch.from_numpy(probabilities).view(4, 50, 3).requires_grad_()
    assert reliability(shaped, torch.from_numpy(labels).view(4, 50)).ece == whole.ece
    more = np.concatenate([probabilities, np.full((5, 3), np.nan), probabilities[:5]])
    unknown = np.concatenate([labels, np.zeros(5, dtype=np.int64), np.full(5, -1)])
    found = reliability(more, unknown)
    assert found.rows == 200
    assert found.brier == pytest.approx(whole.brier)


@pytest.mark.parametrize(
    ("shape", "labels", "said"),
    [
        ((2, 3, 7), torch.zeros(2, 7, dtype=torch.int64), r"transpose \(batch, regimes, time\) first"),
        ((5, 4), torch.full((5,), 4), "regimes are 0 to 3"),
        ((5, 4), torch.full((5,), -1), "at least one"),
    ],
)
def test_what_does_not_fit_is_named(shape, labels, said):
    with pytest.raises(InputError, match=said):
        reliability(torch.full(shape, 1 / shape[-1]), labels)


def test_logits_and_no_bins_are_refused():
    with pytest.raises(InputError, match="do not sum to one"):
        reliability(torch.zeros(5, 4), torch.zeros(5, dtype=torch.int64))
    with pytest.raises(InputError, match="bins=0"):
        reliability(torch.full((5, 4), 0.25), torch.zeros(5, dtype=torch.int64), bins=0)


def test_a_second_sample_does_not_remember_the_first():
    first, second = sample(1), sample(2)
    alone = reliability(*second)
    reliability(*first)
    again = reliability(*second)
    assert (again.ece, again.brier, again.log_score, again.rows) == (
        alone.ece,
        alone.brier,
        alone.log_score,
        alone.rows,
    )
    np.testing.assert_array_equal(again.count, alone.count)


def test_an_average_over_time_has_no_labels_to_be_compared_with():
    probabilities, labels = sample(3)
    with pytest.raises(InputError):
        reliability(probabilities.mean(0), labels)
    with pytest.raises(InputError):
        reliability(probabilities.mean(0, keepdims=True), labels)
