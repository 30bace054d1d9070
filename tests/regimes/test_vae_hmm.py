"""The model as a whole: causal, blind to padding, exact at inference, and the same after a file."""

from itertools import product

import pytest
import torch

from praesidium.component import InputError
from praesidium.regimes.batch import checked
from praesidium.regimes.causality import LookAhead, deciding
from praesidium.regimes.vae_hmm import VAE_HMM
from praesidium.training.reproducibility import stream

ACROSS = ["filter", "forecast", "encode", "q", "mean", "log_variance", "transition"]


def normals(*shape, purpose="vae_hmm"):
    return torch.randn(*shape, dtype=torch.float64, generator=stream("tests", purpose))


def model(u_dim=2, **settings):
    """Untrained, but with laws apart from each other and an influence of inputs."""
    made = VAE_HMM(3, 8, 3, 6, u_dim, 8, **{"n_codes": 5, **settings})
    with torch.no_grad():
        made.decoder.last.weight.mul_(6)
        if u_dim is not None:
            made.prior.last.weight.copy_(normals(*made.prior.last.weight.shape, purpose="influence"))
    made.quantizer.start(made.encode(normals(8, 3, 40, purpose="codes")).transpose(1, 2).flatten(0, 1))
    return made.eval()


def outputs(made, x, u):
    """Everything that decides, by name, with time second."""
    (mean, log_variance), q = made(x, u)
    found = {"filter": made.filter(x, u), "forecast": made.forecast(x, u, steps=3), "transition": made.transition(u)}
    conv = {"encode": made.encode(x), "q": q, "mean": mean, "log_variance": log_variance}
    return found | {name: one.transpose(1, 2) for name, one in conv.items()}


@pytest.mark.parametrize("time", [0, 9, 18])
def test_the_future_cannot_move_a_bit_of_the_past(time):
    made, x, u = model(), normals(2, 3, 20), normals(2, 2, 20)
    changed_x, changed_u = x.clone(), u.clone()
    changed_x[:, :, time + 1 :] += 3 * normals(2, 3, 19 - time, purpose="another future")
    changed_u[:, :, time + 1 :] -= 1.0
    before, after = outputs(made, x, u), outputs(made, changed_x, changed_u)
    assert sorted(before) == sorted(ACROSS)
    for name in ACROSS:
        assert torch.equal(before[name][:, : time + 1], after[name][:, : time + 1]), name
        assert not torch.equal(before[name], after[name]), name


def test_the_input_of_now_moves_the_next_regime_and_not_this_one():
    made, x, u = model(), normals(1, 3, 9), normals(1, 2, 9)
    x[:, :, 5] = torch.nan
    changed = u.clone()
    changed[:, :, 4] += 1.0
    before, after = made.filter(x, u), made.filter(x, changed)
    assert torch.equal(before[:, :5], after[:, :5])
    assert not torch.allclose(before[:, 5], after[:, 5])
    assert not torch.allclose(made.forecast(x, u)[:, 4], made.forecast(x, changed)[:, 4])


@pytest.mark.parametrize("u_dim", [None, 2])
def test_inference_is_that_of_the_enumeration(u_dim):
    """Filter, smoother, best path and likelihood use the transitions, by the joint law of all paths."""
    made, x = model(u_dim), normals(1, 3, 4)
    u = None if u_dim is None else normals(1, 2, 4)
    initial, likelihood = made.prior(u).log_initial, made.decoder.log_prob(x)[0]
    moves = made.transition(u).log()
    moves = moves[0] if u_dim else moves.expand(4, 3, 3)
    for upto in range(1, 5):
        paths = list(product(range(3), repeat=upto))
        joint = torch.stack(
            [
                initial[path[0]]
                + sum(moves[t, path[t], path[t + 1]] for t in range(upto - 1))
                + sum(likelihood[t, k] for t, k in enumerate(path))
                for path in paths
            ]
        )
        weights = joint.softmax(0)
        last = torch.tensor([path[-1] for path in paths])
        marginal = torch.zeros(3, dtype=torch.float64).index_add(0, last, weights)
        torch.testing.assert_close(made.filter(x, u)[0, upto - 1], marginal)
        torch.testing.assert_close(made.forecast(x, u)[0, upto - 1, 0], marginal @ moves[upto - 1].exp())
    first = torch.tensor([path[0] for path in paths])
    smooth = torch.zeros(3, dtype=torch.float64).index_add(0, first, weights)
    torch.testing.assert_close(made.smooth(x, u)[0, 0], smooth)
    assert tuple(made.viterbi(x, u).states[0].tolist()) == paths[int(joint.argmax())]
    torch.testing.assert_close(made.log_likelihood(x, u)[0], joint.logsumexp(0))


def test_forecasts_further_ahead_are_powers_of_the_transition_now():
    made, x, u = model(), normals(1, 3, 6), normals(1, 2, 6)
    ahead, now, moves = made.forecast(x, u, steps=3), made.filter(x, u), made.transition(u)
    for t in range(6):
        torch.testing.assert_close(ahead[0, t, 2], now[0, t] @ torch.linalg.matrix_power(moves[0, t], 3))


def grown(x, u, fill):
    """The same sequences with seven times of padding."""
    return [torch.cat([one, torch.full((*one.shape[:2], 7), fill, dtype=one.dtype)], dim=-1) for one in (x, u)]


@pytest.mark.parametrize("fill", [0.0, 1e9, torch.nan])
@pytest.mark.parametrize("training", [True, False])
def test_padding_counts_for_nothing(fill, training):
    """Whatever stands past a length, and however much of it."""
    x, u, lengths = normals(2, 3, 20), normals(2, 2, 20), torch.tensor([20, 8])
    found = []
    for given in ((x, u), grown(x, u, fill)):
        made = model(pseudo_stays=5.0).train(training)
        made.training_times.fill_(100)
        given_x, given_u = (one.clone() for one in given)
        given_x[1, :, 8:], given_u[1, :, 8:] = fill, fill
        loss = made.compute_loss(given_x, given_u, lengths)
        gradient = torch.autograd.grad(loss, list(made.parameters()))
        probabilities = made.eval().filter(given_x, given_u, lengths)
        found.append((loss, *gradient, probabilities[0, :20], probabilities[1, :8], made.quantizer.codes))
        last = probabilities[1, 7:]
        torch.testing.assert_close(last, last[:1].expand_as(last))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)
    short = made.filter(x[1:, :, :8], u[1:, :, :8])
    torch.testing.assert_close(found[0][-2], short[0])


@pytest.mark.parametrize("posterior", ["structured", "mean_field"])
def test_a_batch_has_the_loss_a_time_of_its_sequences(posterior):
    made = model(posterior=posterior)
    x, u, lengths = normals(2, 3, 20), normals(2, 2, 20), torch.tensor([20, 8])
    parts = [made.compute_loss(x[:1], u[:1]), made.compute_loss(x[1:, :, :8], u[1:, :, :8])]
    whole = made.compute_loss(x, u, lengths)
    assert whole.item() == pytest.approx(((20 * parts[0] + 8 * parts[1]) / 28).item(), rel=1e-6)


def test_every_part_learns():
    made = model(posterior="structured", emission="student").train()
    made.compute_loss(normals(4, 3, 30), normals(4, 2, 30)).backward()
    still = [name for name, one in made.named_parameters() if not one.grad.abs().max() > 0]
    assert still == []


def test_what_is_missing_moves_probabilities_by_the_chain_alone():
    made, x, u = model(), normals(1, 3, 12), normals(1, 2, 12)
    x[:, :, 5:8] = torch.nan
    x[:, 1, 2] = torch.nan
    found, moves = made.filter(x, u)[0], made.transition(u)[0]
    for t in range(5, 8):
        torch.testing.assert_close(found[t], found[t - 1] @ moves[t - 1])
    assert (made.encode(x)[0, :, 5:8] == 0).all()
    assert made.compute_loss(x, u).isfinite()


def test_stays_observed_beforehand_make_the_loss_prefer_persistence():
    x = normals(1, 3, 20)
    plain, sticky = (model(None, pseudo_stays=stays) for stays in (0.0, 50.0))
    losses = []
    for made in (plain, sticky):
        made.training_times.fill_(1000)
        losses.append(made.compute_loss(x))
    stays = plain.transition().diagonal().log().sum()
    assert (losses[1] - losses[0]).item() == pytest.approx(-50 / 1000 * stays.item(), rel=1e-5)


def test_samples_follow_the_chain_and_the_laws():
    made = model(None)
    x, states = made.sample(400, 60, seed=3)
    again, _ = made.sample(400, 60, seed=3)
    other, _ = made.sample(400, 60, seed=4)
    assert x.shape == (60, 3, 400)
    assert torch.equal(x, again)
    assert not torch.equal(x, other)
    moves = torch.zeros(3, 3, dtype=torch.float64)
    ones = torch.ones(60 * 399, dtype=torch.float64)
    moves.index_put_((states[:, :-1].flatten(), states[:, 1:].flatten()), ones, accumulate=True)
    torch.testing.assert_close(moves / moves.sum(-1, keepdim=True), made.transition().detach(), atol=0.02, rtol=0)
    means, scales = made.decoder.laws().mean.detach(), made.decoder.variances().sqrt().detach()
    for k in range(3):
        rows = x.transpose(1, 2)[states == k]
        torch.testing.assert_close((rows.mean(0) - means[k]) / scales[k], torch.zeros(3).double(), atol=0.06, rtol=0)


def test_looking_ahead_is_refused_where_a_decision_is_made():
    made, x, u = model(), normals(1, 3, 9), normals(1, 2, 9)
    with deciding():
        made.filter(x, u)
        for look in (made.smooth, made.viterbi):
            with pytest.raises(LookAhead, match=rf"VAE_HMM\.{look.__name__}: it looks ahead"):
                look(x, u)


@pytest.mark.parametrize("counts", [(0, 1), (1, 0)])
def test_a_sample_of_nothing_is_refused(counts):
    with pytest.raises(InputError, match=r"VAE_HMM\.sample: steps=\d and batch=\d are not both positive"):
        model(None).sample(*counts)


def test_driven_samples_take_inputs():
    x, states = model().sample(9, 2, normals(2, 2, 9))
    assert x.shape == (2, 3, 9)
    assert states.shape == (2, 9)


@pytest.mark.parametrize("u_dim", [None, 2])
def test_renaming_regimes_renames_results_and_nothing_else(u_dim):
    made, x, order = model(u_dim), normals(2, 3, 20), torch.tensor([2, 0, 1])
    u = None if u_dim is None else normals(2, 2, 20)
    before = (made.filter(x, u)[..., order], made(x, u)[1][:, order], made.volatility()[order])
    loss, likelihood = made.compute_loss(x, u), made.log_likelihood(x, u)
    made.permute(order)
    torch.testing.assert_close((made.filter(x, u), made(x, u)[1], made.volatility()), before, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close((made.compute_loss(x, u), made.log_likelihood(x, u)), (loss, likelihood))


def test_a_file_gives_the_same_model_again(tmp_path):
    made, x, u = model(emission="student", pseudo_stays=2.0), normals(2, 3, 20), normals(2, 2, 20)
    made.training_times.fill_(77)
    made.save(tmp_path / "model.safetensors")
    loaded = VAE_HMM.load(tmp_path / "model.safetensors")
    assert not loaded.training
    assert loaded.settings == made.settings
    assert torch.equal(loaded.filter(x, u), made.filter(x, u))
    assert torch.equal(loaded.compute_loss(x, u), made.compute_loss(x, u))
    with pytest.raises(InputError, match="no such checkpoint"):
        VAE_HMM.load(tmp_path / "other.safetensors")


def test_values_depend_on_the_seed_alone():
    state, x, u = torch.get_rng_state(), normals(2, 3, 20), normals(2, 2, 20)
    one, other, third = model(seed=1), model(seed=1), model(seed=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one(x, u)[1], other(x, u)[1])
    assert not torch.equal(one(x, u)[1], third(x, u)[1])


@pytest.mark.parametrize(
    ("x", "u", "lengths", "words"),
    [
        (normals(2, 20, 3), None, None, r"\(2, 20, 3\) is not \(batch, 3, time\)"),
        (normals(2, 3, 20), normals(2, 2, 19), None, "one input for each time"),
        (normals(2, 3, 20), normals(2, 2, 20), torch.tensor([20, 0]), "lengths"),
        (normals(2, 3, 20), normals(2, 2, 20), torch.tensor([20, 21]), "not all between 1 and the 20 times"),
        (normals(2, 3, 20) + torch.inf, normals(2, 2, 20), None, "x: holds infinite"),
        (normals(2, 3, 20), normals(2, 2, 20) * torch.nan, None, "u: holds NaN"),
        (normals(2, 3, 20), None, None, "u_dim=2"),
        (normals(1, 3, 20), None, [20], r"lengths: \[20\] is not a tensor"),
    ],
)
def test_what_does_not_fit_is_refused(x, u, lengths, words):
    with pytest.raises(InputError, match=words):
        model().prior(checked(x, u, lengths, channels=3).u)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"n_codes": 2}, "n_codes=2"),
        ({"posterior": "structurd"}, "did you mean 'structured'"),
        ({"K": 1}, "K=1"),
        *(({name: 0}, f"{name}=0") for name in ("input_dim", "hidden_dim", "hidden_dim2", "u_dim", "trans_hidden")),
        ({"commitment": -1.0}, "commitment=-1"),
        ({"pseudo_stays": -1}, "pseudo_stays=-1"),
    ],
)
def test_settings_out_of_bounds_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        VAE_HMM(**{"input_dim": 3, "hidden_dim": 8, "K": 3, "hidden_dim2": 6, **settings})
