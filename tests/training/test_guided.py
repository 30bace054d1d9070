"""Training on filtered regimes: aligned returns, padding, the adversary, ensembles."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from praesidium.component import InputError
from praesidium.data.chunks import RandomChunkDataset, collate_fn
from praesidium.portfolio import BayesianPortfolioOptimizer
from praesidium.training import train_advanced_portfolio, train_portfolio
from praesidium.training.adversarial import perturb
from praesidium.training.reproducibility import stream

TIMES = (90, 60)
QUICK = {"num_epochs": 4, "lr": 0.1, "use_adversarial": False}


class Read(nn.Module):
    """A filter that reads the regimes off the observations, which are logits; past the lengths it says nonsense."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))
        self.modes = []

    def filter(self, x, u, lengths):
        self.modes.append((self.training, torch.is_grad_enabled()))
        probabilities = (x.mT.double() + self.nothing).softmax(-1)
        late = torch.arange(x.shape[-1]) >= lengths.unsqueeze(-1)
        return torch.where(late.unsqueeze(-1), torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64), probabilities)


class Allocate(nn.Module):
    """Weights that are a softmax of a linear map of the regimes."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(3, 3)
        self.map.weight.data.uniform_(-1, 1, generator=stream("tests", "guided", "map"))
        self.map.bias.data.zero_()

    def forward(self, regimes):
        return self.map(regimes).softmax(-1)

    def loss(self, weights, returns):
        return -(weights[:, :-1] * returns[:, 1:]).sum(-1).mean()


def world():
    """Independent states, and returns of the next period of which the asset of the state earns 1 and others 0."""
    logits, returns = [], []
    for number, times in enumerate(TIMES):
        g = stream("tests", "guided", "world", number)
        states = torch.randint(3, (times,), generator=g)
        logits.append(8 * nn.functional.one_hot(states, 3).float().T)
        earned = nn.functional.one_hot(states.roll(1), 3).double()
        returns.append(earned + 0.1 * torch.randn(times, 3, dtype=torch.float64, generator=g))
    return logits, returns


def loader(logits, batch_size=8, **settings):
    dataset = RandomChunkDataset(logits, **{"min_len": 5, "max_len": 20, "length": 16, **settings})
    return DataLoader(dataset, batch_size=batch_size, shuffle=True, collate_fn=collate_fn)


def numbers(model):
    return torch.cat([one.detach().flatten() for one in model.parameters()])


def first(weights, _):
    """A loss that wants all in the first asset."""
    return -weights[..., 0].mean()


def earned(model, logits, returns):
    """Mean return of the model's weights over all sequences."""
    with torch.no_grad():
        weights = [model(Read().filter(x[None], None, torch.tensor([x.shape[1]])).float())[0] for x in logits]
    pairs = zip(weights, returns, strict=True)
    return float(torch.cat([(one[:-1] * later[1:]).sum(-1) for one, later in pairs]).mean())


def test_what_regimes_say_about_the_next_returns_is_found():
    logits, returns = world()
    model = train_advanced_portfolio(Allocate(), Read(), loader(logits), returns, num_epochs=20, lr=0.2)
    assert earned(model, logits, returns) > 0.9
    assert not model.training


@pytest.mark.parametrize("shift", [-7, 7])
def test_misaligned_returns_would_teach_nothing(shift):
    logits, returns = world()
    moved = [one.roll(shift, 0) for one in returns]
    model = train_advanced_portfolio(Allocate(), Read(), loader(logits), moved, num_epochs=20, lr=0.2)
    assert earned(model, logits, returns) < 0.5


def test_the_first_loss_is_that_of_each_piece_alone():
    """With no rate, the loss logged is the mean over pieces of the loss of one piece without padding."""
    logits, returns = world()
    data, model, rows = loader(logits, batch_size=16), Allocate(), []
    train_advanced_portfolio(model, Read(), data, returns, num_epochs=1, lr=0.0, use_adversarial=False, log=rows.append)
    losses = []
    for chunk in (data.dataset[place] for place in range(16)):
        x, _, length = chunk
        regimes = Read().filter(x[None], None, torch.tensor([length])).float()
        part = returns[chunk.sequence][chunk.start : chunk.start + length].float()
        losses.append(model.loss(model(regimes), part[None]).item())
    assert rows[0]["loss"] == pytest.approx(sum(losses) / 16, rel=1e-5)


@pytest.mark.parametrize("adversarial", [False, True])
def test_padding_has_no_effect(adversarial):
    logits, returns = world()

    def padded(chunks):
        batch = collate_fn(chunks)
        x, u, lengths = batch
        wide = nn.functional.pad(x, (0, 30), value=5.0)
        return type(batch)(wide, u, lengths, sequences=batch.sequences, starts=batch.starts)

    trained = []
    for collate in (collate_fn, padded):
        data = loader(logits)
        data = DataLoader(data.dataset, batch_size=8, collate_fn=collate)
        settings = {**QUICK, "use_adversarial": adversarial}
        trained.append(numbers(train_advanced_portfolio(Allocate(), Read(), data, returns, **settings)))
    torch.testing.assert_close(*trained)


def test_the_filter_is_asked_without_gradient_and_stays_as_it_is():
    logits, returns = world()
    read = Read()
    train_advanced_portfolio(Allocate(), read, loader(logits), returns, **QUICK)
    assert set(read.modes) == {(False, False)}
    assert read.training
    assert read.nothing.grad is None
    assert read.nothing.item() == 0


def test_training_depends_on_the_seed_alone():
    logits, returns = world()
    trained = []
    for seed in (0, 0, 1):  # building a model moves the global generator, which does not matter
        trained.append(
            numbers(train_advanced_portfolio(Allocate(), Read(), loader(logits), returns, **QUICK, seed=seed))
        )
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])
    model, read, data, before = Allocate(), Read(), loader(logits), torch.get_rng_state()
    train_advanced_portfolio(model, read, data, returns, **QUICK, use_ensemble=True)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("scheduled", [False, True])
def test_the_rate_falls_along_half_a_cosine_or_not_at_all(scheduled):
    logits, returns = world()
    rows = []
    train_advanced_portfolio(
        Allocate(), Read(), loader(logits), returns, **QUICK, use_scheduler=scheduled, log=rows.append
    )
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    expected = [0.1 * (0.02 + 0.98 * (1 + math.cos(math.pi * step / 3)) / 2) if scheduled else 0.1 for step in range(4)]
    assert [row["learning_rate"] for row in rows] == pytest.approx(expected)


def test_every_epoch_sees_other_pieces():
    logits, returns = world()
    data, seen = loader(logits), []
    data.dataset.set_epoch = seen.append
    train_advanced_portfolio(Allocate(), Read(), data, returns, **QUICK)
    assert seen == [0, 1, 2, 3]


# ---- the adversary --------------------------------------------------------------------------------------------------


def test_the_adversary_adds_the_loss_at_the_worst_regimes_nearby():
    logits, returns = world()
    losses = {}
    for epsilon in (None, 0.0, 0.2):
        rows = []
        settings = {"num_epochs": 1, "lr": 0.0, "use_adversarial": epsilon is not None, "epsilon": epsilon or 0.0}
        train_advanced_portfolio(Allocate(), Read(), loader(logits), returns, **settings, log=rows.append)
        losses[epsilon] = rows[0]["loss"]
    assert losses[0.0] == pytest.approx(2 * losses[None])  # no mass moved: the plain loss twice
    assert losses[0.2] > losses[0.0] + 0.01


def test_training_against_the_adversary_lowers_the_worst_loss_nearby():
    logits, returns = world()
    worst = []
    for adversarial in (False, True):
        settings = {"num_epochs": 10, "lr": 0.1, "use_adversarial": adversarial, "epsilon": 0.4}
        model = train_advanced_portfolio(Allocate(), Read(), loader(logits), returns, **settings)
        regimes = Read().filter(logits[0][None], None, torch.tensor([TIMES[0]])).detach().float()

        def loss(q, model=model):
            return model.loss(model(q), returns[0][None].float())

        worst.append(float(loss(perturb(loss, regimes, epsilon=0.4, steps=20)).detach()))
    assert worst[1] < worst[0] - 0.02


def test_an_ensemble_averages_members_that_differ():
    logits, returns = world()
    given = Allocate()
    settings = {**QUICK, "use_ensemble": True, "n_models": 3}
    made = train_advanced_portfolio(given, Read(), loader(logits), returns, **settings)
    assert torch.equal(numbers(given), numbers(Allocate()))
    regimes = torch.rand(2, 5, 3).softmax(-1)
    weights = torch.stack([one(regimes) for one in made.members])
    assert len(weights) == 3
    torch.testing.assert_close(made(regimes), weights.mean(0))
    torch.testing.assert_close(made(regimes).sum(-1), torch.ones(2, 5))
    assert weights.std(0).min() > 1e-4
    assert not any(one.training for one in made.modules())
    assert made.loss(weights[0], torch.ones(2, 5, 3)).item() == pytest.approx(-1)


def test_an_ensemble_learns_as_its_members_do():
    logits, returns = world()
    settings = {"num_epochs": 20, "lr": 0.2, "use_ensemble": True, "n_models": 2}
    made = train_advanced_portfolio(Allocate(), Read(), loader(logits), returns, **settings)
    assert earned(made, logits, returns) > 0.85


def test_each_copy_pays_for_what_it_is_itself():
    """The divergence of a Bayesian copy falls as it is trained, which that of the original could not make it do."""
    logits, returns = world()
    given = BayesianPortfolioOptimizer(3, 3, hidden_dim=4, temperature=1.0, n_observations=1)
    made = train_advanced_portfolio(given, Read(), loader(logits), returns, **QUICK, use_ensemble=True, n_models=2)
    start = given.divergence().item()
    assert all(one.divergence() < 0.8 * start for one in made.members)
    own = torch.stack([one.divergence() for one in made.members]).mean()
    weights, earned = torch.full((1, 9, 3), 1 / 3), returns[0][None, :9].float()
    rest = [made.loss(weights, earned) - own, given.loss(weights, earned) - start]
    torch.testing.assert_close(*rest, atol=1e-4, rtol=0)


def test_a_loss_that_is_given_goes_before_that_of_the_copies():
    logits, returns = world()
    settings = {**QUICK, "use_ensemble": True, "n_models": 2, "loss_fn": first}
    made = train_advanced_portfolio(Allocate(), Read(), loader(logits), returns, **settings)
    assert all(one.map.bias[0] > one.map.bias[1] for one in made.members)
    assert made.loss(torch.ones(1, 2, 3), torch.zeros(1, 2, 3)).item() == -1


def test_a_single_sequence_needs_no_list_and_forms_of_returns_are_the_same():
    (x, _), (y, _) = world()
    forms = [y, y.numpy(), [y], y[None], y[None].numpy()]
    trained = [numbers(train_portfolio(Allocate(), Read(), loader([x]), one, **QUICK)) for one in forms]
    assert all(torch.equal(one, trained[0]) for one in trained)


def test_a_loss_can_be_given_instead_of_the_models_own():
    logits, returns = world()
    model = train_advanced_portfolio(Allocate().map, Read(), loader(logits), returns, **QUICK, loss_fn=first)
    assert model.bias[0] > model.bias[1]


LOGITS, RETURNS = world()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"returns_data": RETURNS[:1]}, "but returns_data has 1 sequences only"),
        ({"returns_data": [RETURNS[0], RETURNS[1][:30]]}, "of sequence 1, but returns_data has 30 times"),
        ({"returns_data": [RETURNS[0], RETURNS[1] / 0]}, "returns_data[1] holds 180 numbers that are not finite"),
        ({"returns_data": [RETURNS[0][:, 0]]}, "returns_data[0] has shape (90,)"),
        ({"returns_data": []}, "returns_data is empty"),
        ({"dataloader": []}, "epoch 1 has no piece to learn from"),
        ({"dataloader": [(torch.ones(2, 3, 9), None, torch.tensor([9, 9]))]}, "does not say where its pieces come"),
        ({"portfolio_model": nn.Linear(3, 3)}, "Linear has no loss of its own"),
        ({"portfolio_model": nn.ReLU(), "loss_fn": torch.sub}, "ReLU has no parameter to train"),
        ({"portfolio_model": nn.Sequential(nn.Linear(3, 3), nn.Flatten()), "loss_fn": torch.sub}, "is needed"),
        ({"num_epochs": 0}, "num_epochs=0 trains nothing"),
        ({"n_models": 0}, "n_models=0 trains nothing"),
        ({"epsilon": 2.0}, "epsilon=2 is not in [0, 1]"),
        ({"lr": -1.0}, "lr=-1 is not a learning rate"),
    ],
)
def test_what_cannot_be_used_is_refused(change, sentence):
    asked = {"portfolio_model": Allocate(), "dataloader": loader(LOGITS), "returns_data": RETURNS, **change}
    with pytest.raises(InputError) as caught:
        train_advanced_portfolio(vae_hmm=Read(), **{"num_epochs": 1, **asked})
    assert sentence in str(caught.value)


def test_a_loss_that_is_not_finite_ends_the_training_with_a_sentence():
    model, settings = Allocate(), {**QUICK, "loss_fn": lambda weights, _: weights.sum() * math.nan}
    with pytest.raises(FloatingPointError, match=r"train_advanced_portfolio: epoch 1: the loss is nan"):
        train_advanced_portfolio(model, Read(), loader(LOGITS), RETURNS, **settings)
    assert torch.equal(numbers(model), numbers(Allocate()))
