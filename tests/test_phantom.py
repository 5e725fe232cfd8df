import dataclasses
import pickle
from collections import Counter

import cv2
import numpy as np
import pytest

from lung_tumor import imaging, phantom
from lung_tumor.phantom import CLASSES, PhantomOptions, draw_slice, longest_diameter, slice_label, slice_name

OPTIONS = PhantomOptions(slices=20, seed=5)
TUMOUR, NORMAL = CLASSES


@pytest.fixture(scope="module")
def drawn():
    return [draw_slice(index, OPTIONS) for index in range(OPTIONS.slices)]


@pytest.fixture(scope="module")
def twins():
    """Each patient twice: with the mass and without it, whatever the coin said."""
    return [tuple(phantom._render(index, OPTIONS, label) for label in CLASSES) for index in range(OPTIONS.slices)]


def trivial_numbers(pixels):
    """What a classifier that never looks at the lungs could use: levels, spread, size and an 8x8 thumbnail."""
    grey = pixels.astype(np.float32)
    numbers = [grey.mean(), grey.std(), (pixels < 10).mean(), *pixels.shape, *np.percentile(grey, (5, 25, 50, 75, 95))]
    return np.concatenate([numbers, cv2.resize(grey, (8, 8), interpolation=cv2.INTER_AREA).ravel()])


def test_a_slice_is_the_same_whenever_and_after_whatever_it_is_drawn(drawn):
    for index in (7, 0):
        again = draw_slice(index, PhantomOptions(slices=20, seed=5))
        assert again.label == drawn[index].label
        assert again.spacing_mm == drawn[index].spacing_mm
        np.testing.assert_array_equal(again.hounsfield, drawn[index].hounsfield)
        np.testing.assert_array_equal(again.pixels, drawn[index].pixels)
        np.testing.assert_array_equal(again.mask, drawn[index].mask)


def test_a_slice_does_not_depend_on_how_many_are_drawn(drawn):
    longer = draw_slice(4, dataclasses.replace(OPTIONS, slices=400))
    assert longer.label == drawn[4].label
    np.testing.assert_array_equal(longer.pixels, drawn[4].pixels)


def test_another_seed_or_index_draws_another_patient(drawn):
    other = draw_slice(0, dataclasses.replace(OPTIONS, seed=6))
    assert other.spacing_mm != drawn[0].spacing_mm
    assert len({one.spacing_mm for one in drawn}) == len(drawn)
    assert len({one.pixels.tobytes() for one in drawn}) == len(drawn)


def test_a_slice_has_the_promised_types_and_ranges(drawn):
    for one in drawn:
        assert (one.hounsfield.shape, one.hounsfield.dtype) == ((512, 512), np.int16)
        assert (one.pixels.shape, one.pixels.dtype) == ((512, 512), np.uint8)
        assert (one.mask.shape, one.mask.dtype) == ((512, 512), np.bool_)
        assert one.hounsfield.min() >= -1024
        assert one.hounsfield.max() <= 3071
        assert 0.5 <= one.spacing_mm <= 0.977


@pytest.mark.parametrize("slices", [2, 3, 50, 401])
def test_the_classes_are_balanced_at_every_length(slices):
    counts = Counter(slice_label(index, PhantomOptions(slices=slices)) for index in range(slices))
    assert set(counts) == set(CLASSES)
    assert abs(counts[TUMOUR] - counts[NORMAL]) <= slices % 2


def test_the_class_does_not_alternate_with_the_index():
    labels = [slice_label(index, PhantomOptions()) == TUMOUR for index in range(400)]
    assert 140 < sum(labels[::2]) + sum(not label for label in labels[1::2]) < 260
    assert sum(labels[:200]) == 100


def test_only_a_slice_with_a_mass_has_a_mask(drawn):
    for one in drawn:
        assert one.mask.any() == (one.label == TUMOUR)


def test_the_mass_has_the_diameter_that_was_asked_for(drawn):
    for one in drawn:
        if one.label == TUMOUR:
            diameter = longest_diameter(one.mask) * one.spacing_mm
            assert 20.0 - 1.5 * one.spacing_mm <= diameter <= 60.0 + 1.5 * one.spacing_mm
    narrow = dataclasses.replace(OPTIONS, mass_mm=(30.0, 30.0))
    for index in range(6):
        one = phantom._render(index, narrow, TUMOUR)
        assert longest_diameter(one.mask) * one.spacing_mm == pytest.approx(30.0, abs=2.0 * one.spacing_mm)


def test_the_longest_diameter_is_measured_between_outer_edges():
    mask = np.zeros((20, 20), dtype=np.bool_)
    assert longest_diameter(mask) == 0.0
    mask[4:7, 3:13] = True
    assert longest_diameter(mask) == pytest.approx(np.hypot(9, 2) + 1.0)


def test_the_mask_lies_on_tissue_where_the_same_patient_has_lung(twins):
    before = []
    for sick, healthy in twins:
        core = cv2.erode(sick.mask.astype(np.uint8), np.ones((3, 3))).astype(bool)
        before.append(np.median(healthy.hounsfield[core]))
        assert np.median(sick.hounsfield[core]) > max(before[-1] + 250, -500)
    assert np.median(before) < -700
    assert np.mean(np.array(before) < -500) >= 0.9  # a few sit on the vessels of the hilum


def test_nothing_but_the_mass_and_its_strands_tells_the_twins_apart(twins):
    for sick, healthy in twins:
        assert sick.spacing_mm == healthy.spacing_mm
        changed = np.abs(sick.hounsfield.astype(int) - healthy.hounsfield) > 1
        away = cv2.distanceTransform((~sick.mask).astype(np.uint8), cv2.DIST_L2, 5) * sick.spacing_mm
        assert changed[sick.mask].mean() > 0.95
        assert not changed[away > 45.0].any()
        assert changed.sum() < 4 * sick.mask.sum() + 3000


@pytest.mark.parametrize("prepared", [False, True])
def test_the_mass_moves_trivial_numbers_far_less_than_patients_differ(twins, prepared):
    options = imaging.PreparationOptions()
    look = (lambda pixels: imaging.prepare(pixels, options)) if prepared else (lambda pixels: pixels)
    sick, healthy = (np.stack([trivial_numbers(look(pair[side].pixels)) for pair in twins]) for side in (0, 1))
    spread = healthy.std(axis=0)
    shift = np.abs((sick - healthy).mean(axis=0))[spread > 1e-6] / spread[spread > 1e-6]
    assert shift[:10].max() < 0.4
    assert shift.mean() < 0.25


@pytest.mark.slow
@pytest.mark.parametrize("prepared", [False, True])
def test_trivial_numbers_do_not_separate_the_classes(prepared):
    ensemble = pytest.importorskip("sklearn.ensemble")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    options, preparation = PhantomOptions(), imaging.PreparationOptions()
    slices = [draw_slice(index, options) for index in range(options.slices)]
    look = [imaging.prepare(one.pixels, preparation) if prepared else one.pixels for one in slices]
    numbers, sick = np.stack([trivial_numbers(one) for one in look]), [one.label == TUMOUR for one in slices]
    for model in (
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000)),
        ensemble.RandomForestClassifier(200, random_state=0),
    ):
        scores = cross_val_predict(model, numbers, sick, cv=5, method="predict_proba")[:, 1]
        assert 0.38 < roc_auc_score(sick, scores) < 0.62


def test_names_are_unique_stable_and_say_nothing(drawn):
    names = [slice_name(index, PhantomOptions()) for index in range(400)]
    assert len(set(names)) == 400
    assert names[3] == slice_name(3, PhantomOptions(slices=8, mass_mm=(20.0, 40.0)))
    assert all(
        len(name) == 20 and name.endswith(".png") and set(name[:-4]) <= set("0123456789abcdef") for name in names
    )
    order = sorted(range(400), key=names.__getitem__)
    first_half = sum(slice_label(index, PhantomOptions()) == TUMOUR for index in order[:200])
    assert 75 < first_half < 125


def test_options_accept_the_lists_that_yaml_holds():
    options = PhantomOptions(slices=10, mass_mm=[20.0, 40.0], seed=0)
    assert options.mass_mm == (20.0, 40.0)
    assert hash(options) == hash(PhantomOptions(slices=10, mass_mm=(20.0, 40.0), seed=0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"slices": 1}, "phantom.slices must be at least 2.*received 1"),
        ({"mass_mm": (60.0, 20.0)}, r"phantom.mass_mm must satisfy.*received \(60.0, 20.0\)"),
        ({"mass_mm": (5.0, 20.0)}, r"phantom.mass_mm must satisfy.*received \(5.0, 20.0\)"),
        ({"mass_mm": (20.0, 90.0)}, r"phantom.mass_mm must satisfy.*received \(20.0, 90.0\)"),
        ({"mass_mm": (20.0,)}, r"phantom.mass_mm must satisfy.*received \(20.0,\)"),
        ({"seed": -1}, "phantom.seed must be 0 or more, received -1"),
    ],
)
def test_wrong_options_name_the_value_and_the_fix(wrong, message):
    with pytest.raises(ValueError, match=message):
        PhantomOptions(**wrong)


@pytest.mark.parametrize("index", [-1, 20])
def test_an_index_outside_the_set_is_refused(index):
    with pytest.raises(ValueError, match=rf"index must lie in \[0, 20\), received {index}"):
        draw_slice(index, OPTIONS)


def test_slices_cross_process_borders():
    assert pickle.loads(pickle.dumps(draw_slice)) is draw_slice
    assert pickle.loads(pickle.dumps(OPTIONS)) == OPTIONS
