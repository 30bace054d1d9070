"""Training on data with known regimes, against Bayes' rule with the true parameters and against hmmlearn."""

import copy

import pytest
import torch
from hmmlearn.hmm import GaussianHMM
from torch.utils.data import DataLoader, TensorDataset

from praesidium.component import InputError
from praesidium.data.chunks import RandomChunkDataset, collate_fn
from praesidium.regimes import hmm
from praesidium.regimes.densities import Laws, Tails, draw
from praesidium.regimes.fitting import train_model
from praesidium.regimes.quantizer import CollapseWarning
from praesidium.regimes.shapes import Diagonal
from praesidium.regimes.vae_hmm import VAE_HMM
from praesidium.training.reproducibility import stream

A = torch.tensor([[0.98, 0.015, 0.005], [0.02, 0.97, 0.01], [0.01, 0.04, 0.95]], dtype=torch.float64)
MEAN = 0.4 * torch.randn(3, 5, dtype=torch.float64, generator=stream("tests", "means"))
SCALE = torch.tensor([0.6, 1.0, 1.8], dtype=torch.float64).unsqueeze(-1).expand(3, 5)


def simulate(batch, times, purpose, *, kind="gaussian", dof=torch.inf, push=0.0):
    """Sequences of three sticky regimes of rising volatility in five features, and what Bayes' rule knows of them.

    The first of two inputs pushes the chain into the last regime.
    """
    generator = stream("tests", "three regimes", purpose)
    u = torch.randn(batch, 2, times, dtype=torch.float64, generator=generator)
    tilt = torch.zeros(batch, times - 1, 3, 3, dtype=torch.float64)
    tilt[..., 2] = push * u[:, 0, :-1].unsqueeze(-1)
    moves, start = (A.log() + tilt).log_softmax(-1), hmm.stationary(A).log()
    states = hmm.sample_chain(start, moves, steps=times, batch=batch, generator=generator)
    laws = Laws(MEAN, SCALE.square(), torch.full((3,), float(dof), dtype=torch.float64))
    tails = Tails.registry[kind]()
    x = draw(states.flatten(), laws, Diagonal, tails, generator)
    oracle = hmm.filtered(start, moves, tails.log_density(Diagonal(x), laws).unflatten(0, (batch, times)))
    return x.unflatten(0, (batch, times)).transpose(1, 2), u, states, oracle


def accuracy(probabilities, states):
    return (probabilities.argmax(-1) == states).double().mean().item()


def loader(x, u=None, **settings):
    return DataLoader(RandomChunkDataset(list(x), u if u is None else list(u), **settings), 64, collate_fn=collate_fn)


def small(**settings):
    return VAE_HMM(5, 16, 3, 8, **settings)


@pytest.fixture(scope="module")
def world():
    return simulate(4, 500, "world")


@pytest.fixture(scope="module")
def trained(world):
    return train_model(small(), loader(world[0]), num_epochs=12, lr=1e-3)


def test_the_usage_example_reaches_bayes_rule():
    """As it was published, with a learning rate at which a random start would stay where it is."""
    x, _, states, oracle = simulate(5, 800, "example")
    noise = torch.randn(5, 4, 800, generator=stream("tests", "noise"))
    x_sequences, u_sequences = list(x.float()), list(noise)

    model = VAE_HMM(input_dim=5, hidden_dim=64, K=3, hidden_dim2=32, u_dim=4)
    dataset = RandomChunkDataset(x_sequences, u_sequences, min_len=20, max_len=200)
    dataloader = DataLoader(dataset, batch_size=64, collate_fn=collate_fn)
    trained_model = train_model(model, dataloader, num_epochs=150, lr=1e-5)

    assert not trained_model.training
    assert accuracy(oracle, states) > 0.94
    assert accuracy(trained_model.filter(x, noise), states) > accuracy(oracle, states) - 0.01
    fresh, _, truth, best = simulate(1, 4000, "example, unseen")
    more = torch.randn(1, 4, 4000, generator=stream("tests", "more noise"))
    assert accuracy(trained_model.filter(fresh, more), truth) > accuracy(best, truth) - 0.01
    (_, _), q = trained_model(fresh, more)
    assert accuracy(q.transpose(1, 2), truth) > accuracy(best, truth) - 0.04


def test_training_lowers_the_loss_and_ends_no_worse_than_it_started(world):
    x = world[0]
    model = train_model(small(), loader(x), num_epochs=1, lr=0.0)
    before = copy.deepcopy(model)
    after = train_model(model, loader(x), num_epochs=15, lr=3e-3, held_out=0.0)
    assert after.compute_loss(x) < before.compute_loss(x) - 0.002
    assert len(after.history) == 16


def test_the_best_number_of_epochs_is_trained_anew_on_everything(world, trained):
    """Equal to a training that holds nothing out and ends there; the search itself never saw the last part."""
    scores = [epoch.held_out for epoch in trained.history]
    best = max(range(len(scores)), key=scores.__getitem__)
    assert best > 0
    other = train_model(small(), loader(world[0]), num_epochs=best, lr=1e-3, held_out=0.0, warmup=0.05 * 12 / best)
    for name, one in trained.state_dict().items():
        assert torch.equal(one, other.state_dict()[name]), name


def test_a_crisis_at_the_end_is_learned_from():
    """The last tenth holds the only wild days; held out for good, they would be no regime."""
    noise = torch.randn(1, 1, 1500, generator=stream("tests", "crisis"), dtype=torch.float64)
    scale = torch.tensor([0.01] * 700 + [0.02] * 650 + [0.08] * 150, dtype=torch.float64)
    model = train_model(VAE_HMM(1, 8, 3, 8), loader(noise * scale), num_epochs=3, lr=1e-3)
    assert model.volatility().sort().values.tolist() == pytest.approx([0.01, 0.02, 0.08], rel=0.15)


def test_a_model_that_goes_on_keeps_the_state_with_the_best_held_out_likelihood(world):
    x = world[0]
    model = train_model(small(), loader(x), num_epochs=1, lr=1e-3)
    late = torch.stack([one[:, -50:] for one in x])
    again = train_model(model, loader(x), num_epochs=4, lr=1e-3)
    scores = [epoch.held_out for epoch in again.history]
    assert (again.log_likelihood(late).sum() / 200).item() == pytest.approx(max(scores), abs=1e-9)


def test_regimes_come_in_the_order_of_volatility(trained):
    assert (trained.volatility().diff() > 0).all()
    torch.testing.assert_close(trained.volatility().detach(), SCALE[:, 0], atol=0.25, rtol=0)


def test_the_start_is_as_likely_as_what_hmmlearn_finds(world):
    """Both climb the same likelihood; ours gives no move less than 1e-4, which costs next to nothing."""
    x = world[0]
    rows = x.transpose(1, 2).flatten(0, 1).numpy()
    peer = GaussianHMM(3, n_iter=100, tol=1e-3, random_state=0).fit(rows, lengths=[500] * 4)
    model = train_model(small(), loader(x), num_epochs=1, lr=0.0, held_out=0.0)
    assert model.log_likelihood(x).sum().item() > peer.score(rows, lengths=[500] * 4) - 10


def test_another_start_of_the_optimizer_or_order_of_features_finds_the_same_regimes(world):
    x, _, states, oracle = world
    shuffled = x[:, [4, 2, 0, 1, 3]]
    model = train_model(small(seed=1), loader(shuffled, seed=1), num_epochs=2, lr=1e-3)
    assert accuracy(model.filter(shuffled), states) > accuracy(oracle, states) - 0.02


def test_inputs_that_drive_transitions_are_found_at_any_learning_rate():
    x, u, states, oracle = simulate(4, 1000, "driven", push=2.0)
    model = train_model(small(u_dim=2, trans_hidden=16), loader(x, u), num_epochs=2, lr=1e-5)
    still = train_model(small(), loader(x), num_epochs=2, lr=1e-5)
    fresh, inputs, truth, best = simulate(2, 1000, "driven, unseen", push=2.0)
    assert model.log_likelihood(fresh, inputs).sum() > still.log_likelihood(fresh).sum() + 20
    assert accuracy(model.filter(fresh, inputs), truth) > accuracy(best, truth) - 0.02
    assert accuracy(model.filter(x, u), states) > accuracy(oracle, states) - 0.02
    high = inputs[:, 0] > 1
    assert model.transition(inputs)[high][:, 0, 2].mean() > 3 * model.transition(inputs)[~high][:, 0, 2].mean()


def test_inputs_that_say_nothing_are_left_out():
    x, u, _, _ = simulate(4, 500, "undriven")
    model = train_model(small(u_dim=2, trans_hidden=16), loader(x, u), num_epochs=1, lr=0.0)
    assert model.transition(u).std((0, 1)).max() < 0.01


def test_heavy_tails_are_told_from_crises():
    x, _, states, oracle = simulate(2, 1000, "tails", kind="student", dof=4.0)
    model = train_model(small(emission="student"), loader(x), num_epochs=2, lr=1e-4)
    normal = train_model(small(), loader(x), num_epochs=2, lr=1e-4)
    assert accuracy(model.filter(x), states) > accuracy(oracle, states) - 0.03
    assert accuracy(model.filter(x), states) > accuracy(normal.filter(x), states) + 0.05
    assert (model.decoder.laws().dof - 4).abs().max() < 2.5


def test_mean_field_is_no_collapse_either(world):
    x, _, states, oracle = world
    model = train_model(small(posterior="mean_field"), loader(x), num_epochs=10, lr=1e-3, held_out=0.0)
    assert accuracy(model.filter(x), states) > accuracy(oracle, states) - 0.03
    assert not model.usage().collapsed


def test_values_that_are_missing_are_no_trouble(world):
    x, _, states, oracle = world
    x = x.clone()
    x[torch.rand(x.shape, generator=stream("tests", "missing")) < 0.2] = torch.nan
    x[0, :, 100:120] = torch.nan
    model = train_model(small(), loader(x), num_epochs=3, lr=1e-3)
    assert model.filter(x).isfinite().all()
    assert accuracy(model.filter(x), states) > accuracy(oracle, states) - 0.05


def test_the_same_seed_gives_the_same_model_and_no_global_randomness_moves(world):
    state = torch.get_rng_state()
    one, other = (train_model(small(), loader(world[0]), num_epochs=3, lr=1e-3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert one.history[1:] == other.history[1:]


def test_training_goes_on_where_it_was(world, trained):
    model = copy.deepcopy(trained)
    train_model(model, loader(world[0]), num_epochs=1, lr=1e-9)
    torch.testing.assert_close(model.filter(world[0]), trained.filter(world[0]), atol=1e-5, rtol=0)


def test_few_data_are_trained_on_in_full():
    x = simulate(1, 60, "few")[0]
    model = train_model(small(n_codes=4), loader(x), num_epochs=3, lr=1e-3)
    assert len(model.history) == 4
    assert all(epoch.held_out != epoch.held_out for epoch in model.history)
    assert model.filter(x).isfinite().all()


def test_data_without_regimes_raise_the_alarm():
    x = torch.zeros(1, 2, 300, dtype=torch.float64)
    model = VAE_HMM(2, 8, 3, 8)
    with pytest.warns(CollapseWarning, match="codebook collapsed"):
        train_model(model, loader(x), num_epochs=2, lr=1e-3)
    assert model.usage().collapsed


def test_a_loss_that_is_not_finite_is_an_error(world):
    model = copy.deepcopy(train_model(small(), loader(world[0]), num_epochs=1, lr=0.0))
    with torch.no_grad():
        model.decoder.last.bias[0] = torch.nan
    with pytest.raises(FloatingPointError, match="epoch 0"):
        train_model(model, loader(world[0]), num_epochs=2, lr=1e-3, held_out=0.0)


def test_what_cannot_be_trained_on_is_refused(world):
    with pytest.raises(InputError, match="TensorDataset; wrap"):
        train_model(small(), DataLoader(TensorDataset(world[0])))
    arrays = loader(world[0])
    arrays.dataset.x_sequences[1] = world[0][1].numpy()
    with pytest.raises(InputError, match=r"x_sequences\[1\] is a ndarray; say torch\.from_numpy"):
        train_model(small(), arrays)
    with pytest.raises(InputError, match=r"features \(5, 2\), the model was made with input_dim=5, u_dim=None"):
        train_model(small(), loader(world[0], world[1]))
    with pytest.raises(InputError, match="no batch size"):
        train_model(small(), DataLoader(loader(world[0]).dataset, batch_size=None))
    with pytest.raises(InputError, match="held_out=1"):
        train_model(small(), loader(world[0]), held_out=1.0)
