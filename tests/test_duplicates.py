from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from benchmarks.near_duplicates import DISTORTIONS, LUNG, draw, draw_neighbour, windowed
from lung_tumor import duplicates
from lung_tumor.duplicates import DuplicateOptions, SignatureStore, candidate_pairs, find_duplicates, group
from lung_tumor.geometry import COPY, NONE, GeometryOptions, Signature, Verification, sign

OPTIONS = DuplicateOptions()


@pytest.fixture(scope="module")
def collection():
    """Eleven pictures behind their identities: two patients with copies, a neighbour of the first, two others."""
    first, second, third, fourth = (windowed(draw(seed), LUNG) for seed in range(4))

    def copy(pixels, name):
        return DISTORTIONS[name](pixels, np.random.default_rng(2))

    made = [
        (0, first),
        (1, second),
        (0, copy(first, "crop")),
        (0, copy(first, "flip")),
        (2, windowed(draw_neighbour(0), LUNG)),
        (1, copy(second, "pen")),
        (1, copy(second, "rescale")),
        (3, third),
        (0, copy(first, "gamma")),
        (4, fourth),
        (1, copy(second, "compress")),
    ]
    return np.array([identity for identity, _ in made]), [pixels for _, pixels in made]


def openers(pixels):
    return [partial(np.copy, picture) for picture in pixels]


def test_copies_are_grouped_and_neighbours_and_patients_kept_apart(collection):
    identities, pixels = collection

    found = find_duplicates(openers(pixels), OPTIONS)

    np.testing.assert_array_equal(found.pictures, [0, 1, 0, 0, 2, 1, 1, 3, 0, 4, 1])
    np.testing.assert_array_equal(found.pictures, identities)
    assert set(found.pairs["kind"]) == {"copy"}
    assert (found.pairs["first"] < found.pairs["second"]).all()
    assert found.pairs.loc[(found.pairs["first"] == 0) & (found.pairs["second"] == 3), "flipped"].item()


def test_the_same_pictures_give_the_same_answer(collection):
    _, pixels = collection

    once, again = (find_duplicates(openers(pixels), OPTIONS) for _ in range(2))

    assert once.pairs.equals(again.pairs)
    assert once.compared == again.compared


def test_the_order_of_the_files_does_not_change_the_groups(collection):
    identities, pixels = collection
    order = np.random.default_rng(0).permutation(len(pixels))

    found = find_duplicates(openers([pixels[i] for i in order]), OPTIONS)

    same = identities[order][:, None] == identities[order][None]
    np.testing.assert_array_equal(found.pictures[:, None] == found.pictures[None], same)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_have_no_duplicates(collection, count):
    found = find_duplicates(openers(collection[1][:count]), OPTIONS)

    assert len(found.pictures) == count
    assert found.pairs.empty
    assert "correlation" in found.pairs


def test_embeddings_of_other_pictures_are_refused(collection):
    rows = np.zeros((3, 4), np.float32)

    with pytest.raises(ValueError, match="a row for each of 11 pictures, received 3 and 3"):
        find_duplicates(openers(collection[1]), OPTIONS, [(rows, rows)])


def test_components_join_what_is_joined_through_others():
    np.testing.assert_array_equal(group(6, [(3, 5), (1, 3)]), [0, 1, 2, 1, 3, 1])
    np.testing.assert_array_equal(group(3, []), [0, 1, 2])
    np.testing.assert_array_equal(group(0, []), [])


@pytest.mark.parametrize("count", [50, 400])
def test_candidates_are_bounded_for_each_picture(count):
    rng = np.random.default_rng(0)
    view = (rng.normal(size=(count, 16)).astype(np.float32), rng.normal(size=(count, 16)).astype(np.float32))

    pairs = candidate_pairs([view, view], np.arange(count), 3)

    assert all(first < second for first, second in pairs)
    # Three neighbours, as the picture is and mirrored; the second view proposes the same. A mirror's own row is no pair.
    assert len(pairs) <= count * (3 + 4)


def test_candidates_come_from_the_mirror_image_too():
    plain = np.eye(4, dtype=np.float32)
    mirror = plain[[1, 0, 3, 2]]

    assert {(0, 1), (2, 3)} <= candidate_pairs([(plain, mirror)], np.arange(4), 1)


def fake(monkeypatch, kinds):
    """Replace signing, description and comparison: ``kinds`` maps a pair of indices to a verification."""
    count = iter(range(10_000))

    def sign_next(pixels, options):
        return Signature(pixels, np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8), float(next(count)))

    monkeypatch.setattr(duplicates, "_THREADS", 1)
    monkeypatch.setattr(duplicates, "sign", sign_next)
    monkeypatch.setattr(duplicates, "describe", lambda store, options: [])
    monkeypatch.setattr(duplicates, "verify", lambda first, second, options: kinds(int(first.blur), int(second.blur)))


@pytest.mark.parametrize(("rounds", "expected"), [(1, 2), (3, 1)])
def test_later_rounds_join_groups_that_crowd_their_own_neighbourhoods(monkeypatch, rounds, expected):
    fake(monkeypatch, lambda first, second: Verification(COPY, correlation=0.99))
    angles = np.concatenate([np.linspace(0.0, 0.1, 8), np.linspace(1.0, 1.1, 8)])
    view = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    found = find_duplicates(
        openers([np.zeros((4, 4), np.uint8)] * 16), DuplicateOptions(neighbours=4, rounds=rounds), [(view, view)]
    )

    assert len(set(found.pictures)) == expected


@pytest.mark.parametrize(
    ("witnesses", "correlation", "expected"),
    [(3, 0.91, [0, 0, 0, 1, 1, 1]), (0, 0.91, [0] * 6), (3, 0.99, [0] * 6)],
)
def test_a_weak_pair_alone_does_not_join_two_groups(monkeypatch, witnesses, correlation, expected):
    def kinds(first, second):
        if (first, second) == (2, 3):
            return Verification(COPY, correlation=correlation)
        return Verification(COPY, correlation=0.99) if first // 3 == second // 3 else Verification(NONE)

    fake(monkeypatch, kinds)
    view = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)

    found = find_duplicates(
        openers([np.zeros((4, 4), np.uint8)] * 6), DuplicateOptions(witnesses=witnesses), [(view, view)]
    )

    np.testing.assert_array_equal(found.pictures, expected)
    # What looked alike stays on one side of a split all the same.
    assert len(set(found.slices)) == 1


def test_signatures_come_back_unchanged_and_few_are_held(monkeypatch):
    monkeypatch.setattr(duplicates, "_CACHED", 2)
    pictures = np.random.default_rng(0).integers(0, 256, (5, 60, 50), dtype=np.uint8)
    signatures = [sign(picture, GeometryOptions(keypoints=50)) for picture in pictures]

    with SignatureStore() as store:
        for signature in signatures:
            store.append(signature)
        for index in (0, 4, 2, 0, 1, 3):
            np.testing.assert_array_equal(store[index].grey, signatures[index].grey)
            np.testing.assert_array_equal(store[index].descriptors, signatures[index].descriptors)
            np.testing.assert_array_equal(store[index].points, signatures[index].points)
            assert store[index].blur == signatures[index].blur
            assert len(store._cache) <= 2


def test_geometry_may_be_a_mapping():
    assert DuplicateOptions(geometry={"side": 256}).geometry == GeometryOptions(side=256)


@pytest.mark.parametrize(
    ("name", "value"),
    [("neighbours", 0), ("words", 1), ("rounds", 0), ("witnesses", -1), ("strong_correlation", 0.0)],
)
def test_an_option_out_of_range_is_named_with_its_value(name, value):
    with pytest.raises(ValueError, match=rf"duplicates\.{name} must lie in .*received {value}"):
        DuplicateOptions(**{name: value})
