"""The law that each objective on the head adds: its formula, term by term."""

from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from praesidium.component import InputError
from praesidium.objectives.and_mask import ANDMask
from praesidium.objectives.coral import CORAL
from praesidium.objectives.fishr_head import FishrHead
from praesidium.objectives.iga_head import IGAHead
from praesidium.objectives.irm_head import IRMHead
from praesidium.objectives.pcgrad import PCGrad

LAW = settings(deadline=None, derandomize=True, max_examples=40)
SEEDS, COUNTS = st.integers(0, 999), st.integers(2, 5)


def array(tensor):
    return tensor.detach().numpy()


def terms_of(objective, situation, ramp=1.0, memory=None):
    return objective(situation.risks, situation, ramp, {} if memory is None else memory)


def with_gradients(situation, *rows):
    """A situation with these head gradients."""
    rows = torch.tensor(rows, dtype=torch.float64)
    return situation(environments=len(rows)).changed(halves=torch.stack([rows, rows]))


# ---- sizes and differences of gradients -----------------------------------------------------------------------------


@LAW
@given(seed=SEEDS, environments=COUNTS)
def test_irm_head_is_iga_head_and_the_square_of_the_mean(situation, seed, environments):
    one = situation(seed, environments)
    rows = array(one.gradients)
    size, variance = (terms_of(member(penalty=3.0), one, 0.5).penalty.item() for member in (IRMHead, IGAHead))
    assert size == pytest.approx(1.5 * sum(row @ row for row in rows) / environments)
    center = sum(rows) / environments
    assert variance == pytest.approx(1.5 * sum((row - center) @ (row - center) for row in rows) / environments)
    assert size == pytest.approx(variance + 1.5 * center @ center)
    slopes = one.derivatives(terms_of(IGAHead(penalty=3.0), one, 0.5).penalty)["halves"].sum(0)
    np.testing.assert_allclose(slopes, 3 * (rows - center) / environments, atol=1e-12)


@pytest.mark.parametrize("member", [IRMHead, IGAHead])
def test_the_log_shows_the_size_of_each_gradient(situation, member):
    one = situation()
    assert terms_of(member(), one).log["head_norms"].tolist() == pytest.approx(
        np.linalg.norm(array(one.gradients), axis=1).tolist()
    )


# ---- Fishr ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ema", [0.0, 0.8])
def test_fishr_compares_smoothed_spreads_and_moves_todays_at_full_size(situation, ema):
    objective, memory, past = FishrHead(penalty=3.0, ema=ema), {}, None
    for step in range(4):
        one = situation(step)
        terms, now = terms_of(objective, one, 0.5, memory), array(one.parts["spread"])
        past = now if past is None else ema * past + (1 - ema) * now
        away = past - past.mean(0)
        assert terms.penalty.item() == pytest.approx(1.5 * (away**2).mean())
        slopes = array(one.derivatives(terms.penalty)["spread"])
        np.testing.assert_allclose(slopes, 1.5 * 2 * away / away.size, atol=1e-14)
        np.testing.assert_allclose(terms.log["spread"], past.sum(1))


def test_fishr_cannot_tell_opposite_gradients_apart(situation):
    one = with_gradients(situation, [1.0, 2.0], [-1.0, -2.0])
    one = one.changed(spread=torch.ones(2, 2, dtype=torch.float64))
    assert terms_of(FishrHead(), one).penalty.item() == 0
    assert terms_of(IGAHead(), one).penalty.item() == pytest.approx(0.1 * 5)


# ---- CORAL ----------------------------------------------------------------------------------------------------------


@LAW
@given(seed=SEEDS, environments=COUNTS)
def test_coral_is_the_mean_distance_over_pairs(situation, seed, environments):
    one = situation(seed, environments)
    means, covariances = (array(part) for part in one.moments())
    pairs = list(combinations(range(environments), 2))
    of_means = [((means[i] - means[j]) ** 2).mean() for i, j in pairs]
    of_covariances = [((covariances[i] - covariances[j]) ** 2).mean() for i, j in pairs]
    terms = terms_of(CORAL(penalty=3.0), one, 0.5)
    assert terms.penalty.item() == pytest.approx(1.5 * (np.mean(of_means) + np.mean(of_covariances)))
    assert terms.log["mean_distance"].item() == pytest.approx(np.mean(of_means))
    assert terms.log["covariance_distance"].item() == pytest.approx(np.mean(of_covariances))


# ---- AND-mask -------------------------------------------------------------------------------------------------------


@LAW
@given(seed=SEEDS, environments=COUNTS, threshold=st.sampled_from([0.0, 0.2, 0.5, 0.6, 1.0]))
def test_the_mask_keeps_what_environments_agree_on(situation, seed, environments, threshold):
    one = situation(seed, environments)
    rows = array(one.gradients)
    votes = [abs(sum(1 if entry > 0 else -1 for entry in column)) for column in rows.T]
    kept = np.array([vote * 10 >= round(threshold * 10) * environments for vote in votes])
    expected = kept * rows.mean(0) * kept.size / max(kept.sum(), 1)
    terms = terms_of(ANDMask(threshold=threshold), one)
    np.testing.assert_allclose(terms.head, expected, rtol=1e-8, atol=1e-14)
    assert terms.log["agreement"].item() == pytest.approx(kept.mean())


def test_two_environments_stop_where_no_coordinate_improves_both(situation):
    terms = terms_of(ANDMask(), with_gradients(situation, [1.0, -5.0, 2.0], [-0.1, 0.3, -7.0]))
    assert terms.head.tolist() == [0, 0, 0]


def test_what_is_left_is_enlarged_by_what_was_cut(situation):
    terms = terms_of(ANDMask(), with_gradients(situation, [1.0, -5.0, 2.0], [3.0, 0.3, -7.0]))
    assert terms.head.tolist() == pytest.approx([3 * 2.0, 0, 0])


# ---- PCGrad ---------------------------------------------------------------------------------------------------------


def surgery(rows, orders):
    """Algorithm 1 of the paper for each of the orders of all environments, averaged over them and environments."""
    results = []
    for order in orders:
        for own, row in enumerate(rows):
            projected = row.copy()
            for other in order:
                if other != own and projected @ rows[other] < 0:
                    projected = projected - (projected @ rows[other]) / (rows[other] @ rows[other]) * rows[other]
            results.append(projected)
    return np.mean(results, axis=0)


@LAW
@given(seed=SEEDS, environments=COUNTS)
def test_pcgrad_is_its_algorithm_averaged_over_all_orders(situation, seed, environments):
    one = situation(seed, environments)
    rows = array(one.gradients)
    terms = terms_of(PCGrad(), one)
    np.testing.assert_allclose(terms.head, surgery(rows, permutations(range(environments))), atol=1e-12)
    conflicts = [rows[i] @ rows[j] < 0 for i, j in combinations(range(environments), 2)]
    assert terms.log["conflicts"].item() == pytest.approx(np.mean(conflicts))


def test_gradients_without_conflict_are_left_alone(situation):
    terms = terms_of(PCGrad(), with_gradients(situation, [1.0, 0.0], [0.5, 2.0], [3.0, 0.1]))
    assert terms.head.tolist() == pytest.approx([1.5, 0.7])
    assert terms.log["conflicts"].item() == 0


def test_of_two_gradients_each_loses_what_opposes_the_other(situation):
    first, second = np.array([2.0, 0.0]), np.array([-1.0, 1.0])
    terms = terms_of(PCGrad(), with_gradients(situation, first.tolist(), second.tolist()))
    assert terms.head.tolist() == pytest.approx([(1 + 0) / 2, (1 + 1) / 2])  # of (1, 1) and (0, 1)
    assert terms.head.numpy() @ first > 0
    assert terms.head.numpy() @ second >= 0


def test_a_conflict_counts_once_however_many_environments_share_it(situation):
    """The first gradient comes out the same against one opponent as against three of the kind."""
    against = [-1.0, 1.0]
    for opponents in (1, 3):
        head = terms_of(PCGrad(), with_gradients(situation, [2.0, 0.0], *[against] * opponents)).head
        assert head.tolist() == pytest.approx([(1 + opponents * 0) / (1 + opponents), 1.0])


def test_more_environments_than_orders_can_be_averaged_over_are_refused(situation):
    with pytest.raises(InputError, match=r"pcgrad: 9 training environments .* use at most 8"):
        terms_of(PCGrad(), situation(environments=9))
