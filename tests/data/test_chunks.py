"""Random chunks: where they come from, that nobody else's randomness is touched, and what padding may not do."""

import copy
import pickle
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from praesidium.component import InputError
from praesidium.data.chunks import RandomChunkDataset, collate_fn


def ramp(times, channels=2, offset=0.0):
    """Each value tells its time and channel."""
    return torch.arange(times) + 1000.0 * torch.arange(channels).unsqueeze(-1) + offset


def dataset(times=(50, 300), **settings):
    x = [ramp(count, offset=1e6 * place) for place, count in enumerate(times)]
    return RandomChunkDataset(x, [one[:1] + 0.5 for one in x], **{"min_len": 10, "max_len": 40, **settings})


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one[:2], other[:2], strict=True)) and one[2] == other[2]


@settings(deadline=None, derandomize=True, max_examples=25)
@given(seed=st.integers(0, 9), index=st.integers(0, 7), epoch=st.integers(0, 3))
def test_a_chunk_is_the_sequence_where_it_says(seed, index, epoch):
    data = dataset(seed=seed, length=8)
    data.set_epoch(epoch)
    x, u, length = chunk = data[index]
    assert 10 <= length <= 40
    assert x.shape == (2, length)
    assert torch.equal(x, data.x_sequences[chunk.sequence][:, chunk.start : chunk.start + length])
    assert torch.equal(u, data.u_sequences[chunk.sequence][:, chunk.start : chunk.start + length])


def test_seed_epoch_and_index_say_which_chunk():
    """An index that is ignored, or a draw from the global state, would fail here."""
    data = dataset()
    firsts = {(chunk.sequence, chunk.start, chunk[2]) for chunk in (data[index] for index in range(len(data)))}
    assert len(firsts) > len(data) / 2
    assert all(same(data[index], dataset()[index]) for index in reversed(range(len(data))))
    data.set_epoch(1)
    assert not all(same(data[index], dataset()[index]) for index in range(len(data)))
    assert not all(same(dataset(seed=1)[index], dataset()[index]) for index in range(len(data)))


def test_no_global_randomness_is_read_or_moved():
    state = torch.get_rng_state()
    before = [dataset()[index] for index in range(3)]
    assert torch.equal(torch.get_rng_state(), state)
    random.random()
    with torch.random.fork_rng(devices=[]):
        torch.rand(7)
        assert all(same(one, dataset()[index]) for index, one in enumerate(before))


def test_workers_give_what_one_process_gives_in_every_epoch():
    data = dataset(length=6)
    kept = {"collate_fn": collate_fn, "batch_size": 3, "num_workers": 2, "persistent_workers": True}
    loader = DataLoader(data, generator=torch.Generator().manual_seed(0), **kept)
    for epoch in range(2):
        data.set_epoch(epoch)
        found = list(loader)
        wanted = [collate_fn([data[index] for index in part]) for part in ((0, 1, 2), (3, 4, 5))]
        for one, other in zip(found, wanted, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
            assert torch.equal(one.starts, other.starts)
            assert torch.equal(one.sequences, other.sequences)


def test_its_length_is_that_of_the_data():
    """Expected times in an epoch: as many as the data hold, within rounding up."""
    for times in ((50, 300), (1000,), (5,), (20, 4000, 7)):
        data = dataset(times=times, min_len=20, max_len=200)
        drawn = []
        for epoch in range(40):
            data.set_epoch(epoch)
            drawn.append(sum(data[index][2] for index in range(len(data))))
        assert sum(drawn) / 40 == pytest.approx(sum(times), rel=0.25, abs=110)
    assert len(dataset(length=7)) == 7
    with pytest.raises(IndexError):
        dataset(length=7)[7]


def test_longer_sequences_are_drawn_more_often():
    data = dataset(times=(100, 900), length=500)
    share = sum(data[index].sequence for index in range(500)) / 500
    assert share == pytest.approx(0.9, abs=0.05)


def test_a_sequence_shorter_than_a_chunk_is_used_whole():
    data = dataset(times=(6,), min_len=20, length=3)
    assert all(torch.equal(data[index][0], ramp(6)) for index in range(3))


def test_a_batch_is_padded_with_zeros_and_says_where():
    data = dataset()
    pieces = [data[index] for index in range(5)]
    batch = collate_fn(pieces)
    x, u, lengths = batch
    assert lengths.tolist() == [piece[2] for piece in pieces]
    assert batch.mask.sum(-1).tolist() == lengths.tolist()
    assert (x.transpose(1, 2)[~batch.mask] == 0).all()
    assert (u.transpose(1, 2)[~batch.mask] == 0).all()
    for row, piece in enumerate(pieces):
        assert torch.equal(x[row, :, batch.mask[row]], piece[0])
        assert (int(batch.sequences[row]), int(batch.starts[row])) == (piece.sequence, piece.start)
    assert x.device.type == lengths.device.type == "cpu"


def test_without_inputs_there_are_none():
    batch = collate_fn([RandomChunkDataset([ramp(30)], length=2)[index] for index in range(2)])
    assert batch[1] is None


def test_chunks_survive_copying_and_pickling():
    batch = collate_fn([dataset()[0], dataset()[1]])
    for one, copied in ((batch, copy.deepcopy(batch)), (batch, pickle.loads(pickle.dumps(batch)))):
        assert torch.equal(one.starts, copied.starts)
        assert torch.equal(one.mask, copied.mask)
    chunk = pickle.loads(pickle.dumps(dataset()[2]))
    assert (chunk.sequence, chunk.start) == (dataset()[2].sequence, dataset()[2].start)


def test_a_split_cuts_every_sequence_in_time():
    early, late = dataset(times=(50, 300, 4)).split(0.1)
    assert [one.shape[-1] for one in early.x_sequences] == [45, 270, 4]
    assert [one.shape[-1] for one in late.x_sequences] == [5, 30]
    assert torch.equal(late.x_sequences[1], dataset().x_sequences[1][:, 270:])
    assert torch.equal(late.u_sequences[1], dataset().u_sequences[1][:, 270:])
    whole = early.whole()
    assert whole[2].tolist() == [45, 270, 4]
    assert torch.equal(whole[0][1], early.x_sequences[1])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x_sequences": []}, "is empty"),
        ({"x_sequences": [ramp(5), ramp(5, 3)]}, r"x_sequences\[1\] has shape \(3, 5\)"),
        ({"x_sequences": [ramp(0)]}, "some time"),
        ({"x_sequences": [ramp(5)], "u_sequences": [ramp(6)]}, "u_sequences and x_sequences differ"),
        ({"x_sequences": [ramp(5)], "u_sequences": [ramp(5), ramp(5)]}, "differ in number"),
        ({"x_sequences": [ramp(5)], "min_len": 9, "max_len": 8}, "min_len=9 and max_len=8"),
        ({"x_sequences": [ramp(5)], "length": 0}, "length=0"),
    ],
)
def test_what_cannot_be_cut_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        RandomChunkDataset(**arguments)


def test_a_split_without_a_late_part_is_refused():
    with pytest.raises(InputError, match=r"share=0\.1"):
        dataset(times=(5,)).split(0.1)
