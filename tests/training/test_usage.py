"""The ways to train, each as a user would call it, on small models of the library."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import praesidium.training
from praesidium.data.chunks import RandomChunkDataset, collate_fn
from praesidium.portfolio.transformer import TransformerPortfolioOptimizer
from praesidium.regimes.vae_hmm import VAE_HMM
from praesidium.training import (
    MetaPortfolioOptimizer,
    OnlinePortfolioOptimizer,
    WalkForwardTrainer,
    sample_tasks,
    train_advanced_portfolio,
)
from praesidium.training.reproducibility import stream

G = stream("tests", "usage")
REGIMES, RETURNS = torch.randn(6, 40, 3, generator=G).softmax(-1), 0.01 * torch.randn(6, 40, 4, generator=G)


@pytest.fixture
def model():
    return TransformerPortfolioOptimizer(K=3, n_assets=4, hidden_dim=8, heads=2, layers=1, lookback=8)


def moved(model, before):
    return any(not torch.equal(one, was) for one, was in zip(model.parameters(), before, strict=True))


def test_portfolio_optimization_with_a_transformer(model):
    x_sequences = [torch.randn(5, 60, generator=G) for _ in range(2)]
    u_sequences = [torch.randn(2, 60, generator=G) for _ in range(2)]
    returns_data = [0.01 * torch.randn(60, 4, generator=G) for _ in range(2)]
    vae_hmm = VAE_HMM(input_dim=5, hidden_dim=8, K=3, hidden_dim2=8, u_dim=2)
    before = [one.detach().clone() for one in (*vae_hmm.parameters(), *vae_hmm.buffers())]
    dataset = RandomChunkDataset(x_sequences, u_sequences, min_len=20, max_len=40)
    dataloader = DataLoader(dataset, batch_size=4, collate_fn=collate_fn)
    trained_portfolio = train_advanced_portfolio(
        model, vae_hmm, dataloader, returns_data,
        num_epochs=2, lr=0.001, use_scheduler=True,
        use_adversarial=True, use_ensemble=False
    )  # fmt: skip
    weights = trained_portfolio(vae_hmm.filter(x_sequences[0][None], u_sequences[0][None]))
    torch.testing.assert_close(weights.sum(-1), torch.ones(1, 60))
    after = (*vae_hmm.parameters(), *vae_hmm.buffers())
    assert all(torch.equal(one, was) for one, was in zip(after, before, strict=True))


def test_meta_learning_for_fast_adaptation(model):
    loss_fn, before = model.loss, [one.detach().clone() for one in model.parameters()]
    dataloader = DataLoader(TensorDataset(REGIMES, RETURNS), batch_size=3, generator=stream("tests", "usage", "loader"))
    meta_optimizer = MetaPortfolioOptimizer(
        model, inner_lr=0.01, outer_lr=0.001, n_inner_steps=5
    )  # fmt: skip
    for _ in range(2):
        tasks = sample_tasks(dataloader)
        meta_loss = meta_optimizer.meta_update(tasks, loss_fn)
    assert isinstance(meta_loss, float)
    assert moved(model, before)


def test_walk_forward_validation(model):
    full_data = REGIMES.flatten(0, 1), RETURNS.flatten(0, 1)
    trainer = WalkForwardTrainer(model, model.loss, train_window=100, test_window=21, retrain_freq=21, epochs=2)
    results = trainer.run(full_data, n_periods=5)
    assert len(results) == 5
    assert results.predictions.shape == (105, 4)
    torch.testing.assert_close(results.predictions.sum(-1), torch.ones(105))


def test_online_learning(model):
    online = OnlinePortfolioOptimizer(model, lr=0.01, ema_decay=0.9)
    before = [one.detach().clone() for one in model.parameters()]
    losses = [online.update((REGIMES, RETURNS), model.loss) for _ in range(3)]
    assert losses[-1] < losses[0]
    assert moved(model, before)
    live = model(REGIMES)
    with online.use_ema():
        slow = model(REGIMES)
    assert not torch.equal(live, slow)
    assert torch.equal(model(REGIMES), live)


def test_names_are_those_that_are_listed():
    for name in praesidium.training.__all__:
        assert callable(getattr(praesidium.training, name))
    with pytest.raises(AttributeError, match="no attribute 'train_porfolio'"):
        _ = praesidium.training.train_porfolio
