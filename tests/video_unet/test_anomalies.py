"""A camera that stands still, balls that roll, and one day a box: found, with no more false alarms than stated."""

import csv
import dataclasses
import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score
from tests.tolerances import assert_identity

from theodolite import families
from theodolite.cli import main
from theodolite.data.clips import clip
from theodolite.data.videos import read_video, write_video
from theodolite.kernel.errors import DataError, UsageError
from theodolite.theory.conformal import conformal_p_values
from theodolite.video_unet.anomalies import events, find_anomalies
from theodolite.video_unet.anomaly_exhibits import annotated
from theodolite.video_unet.anomaly_scores import USUAL, Scorer, frame_scores, normal_scores, passing_changes

SIDE, CLIP, RATE = 20, 5, 10
WELL_FOUND = 0.95
"""Area under the ROC curve per frame."""
FRAMES_FOUND = 10
"""Of the 13 that show the box, in one event."""


def scene(seed, count, box=()):
    """A ball that bounces over a fixed ground; in the frames of `box`, a box that nobody has seen before."""
    random, (rows, columns) = np.random.default_rng(seed), np.indices((SIDE, SIDE))
    ground = np.stack([60 + 3 * rows, 60 + 2 * columns, 120 - 2 * rows], axis=-1).astype(float)
    place, speed = random.uniform(4, SIDE - 4, 2), random.uniform(-1.5, 1.5, 2)
    frames = np.repeat(ground[None], count, axis=0)
    for number in range(count):
        speed = np.where((place + speed < 3) | (place + speed > SIDE - 3), -speed, speed)
        place = place + speed
        ball = np.hypot(rows - place[0], columns - place[1])[..., None]
        frames[number] += (170 - frames[number]) * np.clip(3.5 - ball, 0, 1)
        if number in box:
            frames[number, 12:17, 3:8] = (20, 60, 250)
    return np.rint(frames).astype(np.uint8)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A trained run, normal videos that it has not seen, and one with a box."""
    folder = tmp_path_factory.mktemp("camera")
    for kind, count, length in (("seen", 8, 60), ("normal", 6, 80)):
        (folder / kind).mkdir()
        for number in range(count):
            frames = scene([len(kind), number], length)
            write_video(folder / kind / f"{number}.mkv", frames, RATE, lossless=True)
    write_video(folder / "box.mkv", scene(99, 83, range(31, 44)), RATE, lossless=True)
    size = {"frames": CLIP, "height": SIDE, "width": SIDE, "stages": 2, "base": 8, "code_channels": 32}
    fields = {"data": str(folder / "seen"), "skips": False, "compare_skips": False, "held_out": 10, **size}
    families.train("video-unet", folder / "run", steps=500, device="cpu", **fields)
    return folder


@pytest.fixture(scope="module")
def found(world):
    run = families.RunFolder.open(world / "run")
    out = world / "found"
    told = find_anomalies(run, world / "box.mkv", out, normal=[str(world / "normal")], false_alarms=0.05)
    return told, out


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_box_is_found_frame_by_frame(found):
    told, out = found
    frames = rows(out / "frames.csv")
    assert [int(row["frame"]) for row in frames] == list(range(83))
    box = np.isin(np.arange(83), np.arange(31, 44))
    area = roc_auc_score(box, [float(row["score"]) for row in frames])
    print(f"area under the ROC curve per frame: {area:.4f}")
    assert area >= WELL_FOUND
    found_events = rows(out / "events.csv")
    event = max(found_events, key=lambda each: float(each["peak_score"]))
    assert (told["events"], told["network"], told["normal_clips"]) == (len(found_events), "without_skips", 96)
    inside = box[int(event["first_frame"]) : int(event["last_frame"]) + 1]
    assert inside.sum() >= FRAMES_FOUND
    assert len(inside) == int(event["frames"])
    assert float(event["start_s"]) == int(event["first_frame"]) / RATE
    assert float(event["end_s"]) == (int(event["last_frame"]) + 1) / RATE
    assert float(event["p_value"]) == 1 / 97
    assert told["alarms"] == sum(int(row["alarm"]) for row in frames)


def test_what_is_written_can_be_looked_at(found):
    told, out = found
    heat, marked = read_video(out / "heat.mkv").frames, read_video(out / "annotated.mp4").frames
    assert heat.shape == (83, SIDE, SIDE, 3)
    place = np.unravel_index(heat[37, ..., 0].argmax(), (SIDE, SIDE))
    assert np.all(np.abs(np.array(place) - (14, 5)) <= 4)  # where the box stands
    alarms = np.array([row["alarm"] == "1" for row in rows(out / "frames.csv")])
    white = heat[..., 0].max(axis=(1, 2)).astype(int)
    assert (white[alarms] >= 127).all()
    assert (white[~alarms] <= 128).all()
    assert marked.shape[0] == 83
    red = marked[:, 1, 1].astype(int)
    np.testing.assert_array_equal(red[:, 0] - red[:, 1] > 100, alarms)
    page = families.write_report(families.RunFolder.open(out)).read_text(encoding="utf-8")
    assert "cannot be rebuilt as normal ones can" in page
    assert "a probability of at most 0.05" in page
    assert told["expected_false_alarms"] == round(17 * 0.05, 3)


def test_normal_clips_raise_as_many_alarms_as_stated_on_average(world):
    """Random halves of one set of clips: exchangeable by construction, so the mean rate of alarms is the stated one."""
    scores = normal_scores(families.RunFolder.open(world / "run"), Scorer.load(families.RunFolder.open(world / "run")),
                           [str(world / "normal")], 1)  # fmt: skip
    random = np.random.default_rng(0)
    alarms = []
    for _ in range(4000):
        mixed = random.permutation(scores)
        alarms.append(conformal_p_values(mixed[:-1], mixed[-1]) <= 0.1)
    bound = 0.1 + 4 * np.sqrt(0.1 * 0.9 / 4000)
    assert 0.05 < np.mean(alarms) <= bound


def test_held_out_clips_set_the_threshold_where_no_others_are_given(world, tiny_run, tmp_path):
    write_video(tmp_path / "video.mkv", scene(5, 9), RATE, lossless=True)
    told = find_anomalies(tiny_run, tmp_path / "video.mkv", tmp_path / "out", false_alarms=0.1)
    assert (told["normal_clips"], told["frames"], told["network"]) == (19, 9, "without_skips")
    run = families.RunFolder.open(world / "run")
    with pytest.raises(UsageError, match=r"needs at least 99 normal clips of 5 frames, and there are 10; .* 0\.091"):
        find_anomalies(run, world / "box.mkv", tmp_path / "no")
    assert find_anomalies(run, world / "box.mkv", tmp_path / "yes", false_alarms=0.091)["normal_clips"] == 10
    assert not (tmp_path / "no").exists()


def test_the_worst_place_of_a_frame_is_its_score(world):
    scorer = Scorer.load(families.RunFolder.open(world / "run"))
    heat, made = scorer.heat(scene(1, CLIP))
    assert heat.shape == (CLIP, SIDE, SIDE)
    assert made.shape == (CLIP, SIDE, SIDE, 3)
    squared = ((scene(1, CLIP) / 255.0 - made / 255.0) ** 2).mean(axis=-1)
    by_hand = np.sqrt(squared[2, 9:12, 4:7].mean())
    assert abs(heat[2, 10, 5] - by_hand) < 1 / 255  # what is shown was rounded to grey levels
    np.testing.assert_array_equal(frame_scores(heat), [each.max() for each in heat])


def test_a_passing_change_is_as_deep_as_the_lower_of_its_ends():
    """By hand at one place: a slow loop over every frame, and over every wall before and behind it."""
    random = np.random.default_rng(0)
    error = np.repeat(np.repeat(random.normal(size=(9, 1, 1, 3)), 6, axis=1), 6, axis=2)  # the same at every place
    size = np.sqrt((error[:, 0, 0] ** 2).mean(axis=-1))
    size = size / (np.median(size) + USUAL)
    walls = {t: min(size[t - 1], size[t]) for t in range(1, 9)}  # wall t stands before frame t
    by_hand = [
        min(max((w for at, w in walls.items() if at <= t), default=0), max((w for at, w in walls.items() if at > t),
                                                                          default=0)) for t in range(9)
    ]  # fmt: skip
    heat = passing_changes(error)
    assert heat.shape == (9, 6, 6)
    assert_identity(heat[:, 3, 3], by_hand)


@pytest.mark.parametrize(("first", "last"), [(2, 2), (3, 6), (1, 7)])
def test_what_comes_and_goes_is_seen_from_its_first_frame_to_its_last(first, last):
    error = np.full((10, 12, 12, 3), 1e-3)
    for end in (first - 1, first, last, last + 1):  # what interpolation makes of them
        error[end, 4:8, 4:8] = 0.3
    scores = frame_scores(passing_changes(error))
    inside = (np.arange(10) >= first) & (np.arange(10) <= last)
    assert scores[inside].min() > 10 * scores[~inside].max()


def test_what_comes_and_stays_is_not_a_passing_change():
    error = np.full((10, 12, 12, 3), 1e-3)
    error[4:6, 4:8, 4:8] = 0.3
    scores = frame_scores(passing_changes(error))
    assert scores[5:].max() < 1


@pytest.fixture(scope="module")
def filling(tmp_path_factory):
    """A run that fills in hidden frames of moving clips; steps so few that it is near interpolation."""
    folder = tmp_path_factory.mktemp("filling")
    fields = {"corruption": "masked", "corruption_level": 0.2, "frames": CLIP, "height": SIDE, "width": SIDE}
    small = {"stages": 1, "base": 4, "compare_skips": False}
    return families.train("video-unet", folder / "run", steps=20, device="cpu", **fields, **small)


def test_in_moving_clips_a_square_that_comes_and_goes_is_found(filling, tmp_path):
    frames = clip(0, 5000, 20, SIDE, SIDE, held_out=True)
    frames[8:13, 5:13, 6:14] = (250, 40, 220)
    write_video(tmp_path / "square.mkv", frames, RATE, lossless=True)
    told = find_anomalies(filling, tmp_path / "square.mkv", tmp_path / "out", false_alarms=0.1, window=20)
    scores = np.array([float(row["score"]) for row in rows(tmp_path / "out" / "frames.csv")])
    inside = np.isin(np.arange(20), np.arange(8, 13))
    assert roc_auc_score(inside, scores) >= WELL_FOUND
    assert (told["normal_clips"], told["events"]) == (64, 1)
    (event,) = rows(tmp_path / "out" / "events.csv")
    assert (event["first_frame"], event["last_frame"]) == ("8", "12")


def test_changes_raise_as_many_false_alarms_as_stated_on_average(filling):
    """The score looks at a whole clip, so clips are counted: other clips than those that set the threshold."""
    scorer = Scorer.load(filling, 8)
    usual = normal_scores(filling, scorer, ["held-out"], 100)
    random, alarms = np.random.default_rng(0), []
    for _ in range(2000):
        mixed = random.permutation(usual)
        alarms.append(conformal_p_values(mixed[:-1], mixed[-1]) <= 0.1)
    assert len(usual) == 201
    assert 0.05 < np.mean(alarms) <= 0.1 + 4 * np.sqrt(0.1 * 0.9 / 2000)


def test_a_window_that_normal_clips_do_not_have_is_refused(world, tmp_path):
    run = families.RunFolder.open(world / "run")
    with pytest.raises(UsageError, match="the clips held out have 5 frames; give videos with --normal"):
        find_anomalies(run, world / "box.mkv", tmp_path / "out", window=8)
    with pytest.raises(UsageError, match="--window 0 must be 1 to"):
        find_anomalies(run, world / "box.mkv", tmp_path / "out", window=0)
    normal = normal_scores(run, Scorer.load(run, 16), [str(world / "normal")], 1)
    assert len(normal) == 6 * 80 // 16


def test_crops_held_out_are_no_measure_of_whole_frames(world):
    run = families.RunFolder.open(world / "run")
    scorer = Scorer.load(run)
    cut = dataclasses.replace(scorer, config=scorer.config.model_copy(update={"crop": "native"}))
    with pytest.raises(UsageError, match=r"cut at the videos' own size.* give videos with --normal"):
        normal_scores(run, cut, ["held-out"], 1)
    assert len(normal_scores(run, cut, [str(world / "normal")], 1)) == 6 * 80 // CLIP


def test_alarms_in_a_row_are_one_event():
    times = [0.0, 0.1, 0.2, 0.5, 0.6, 0.7]
    usual = np.array([1.0, 2.0, 3.0])
    found = events(times, [5.0, 1.0, 4.0, 2.5, 1.0, 6.0], 2.0, usual, 10)
    assert [(each.first, each.last, each.start, each.peak) for each in found] == [
        (0, 0, 0.0, 5.0),
        (2, 3, 0.2, 4.0),
        (5, 5, 0.7, 6.0),
    ]
    assert [each.end for each in found] == [0.1, 0.6, 0.7 + 0.1]
    assert all(each.p_value == 0.25 for each in found)
    assert events(times, [0.0] * 6, 2.0, usual, 10) == []


def test_a_marked_frame_keeps_the_picture_and_shows_the_score():
    frame = np.full((120, 60, 3), 90, np.uint8)
    calm, alarmed = annotated([frame] * 2, [np.zeros_like(frame), np.full_like(frame, 255)], [1.0, 4.0], 2.0)
    assert calm.shape == alarmed.shape == (240 + 17, 240, 3)
    assert (calm[:240] == 90).all()  # nothing to mark
    assert (alarmed[0, :, 0] == 230).all()
    assert (alarmed[120, 60] == 90).all()
    assert (alarmed[120, 180] == (230, 30, 30)).all()
    assert (calm[250, 119] == 255).all()  # the threshold


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"false_alarms": 0.0}, UsageError, "is no share"),
        ({"false_alarms": 1.5}, UsageError, "is no share"),
        ({"normal": ["seen"], "false_alarms": 0.1}, DataError, "was trained on"),
        ({"normal": ["gone"], "false_alarms": 0.1}, DataError, "no video or folder"),
    ],
)
def test_what_cannot_be_promised_is_refused(world, tmp_path, fields, error, words):
    if "normal" in fields:
        fields = {**fields, "normal": [str(world / each) for each in fields["normal"]]}
    with pytest.raises(error, match=words):
        find_anomalies(families.RunFolder.open(world / "run"), world / "box.mkv", tmp_path / "out", **fields)
    assert list(tmp_path.iterdir()) == []


def test_a_video_shorter_than_a_clip_is_refused(world, tmp_path):
    write_video(tmp_path / "short.mkv", scene(5, 4), RATE, lossless=True)
    with pytest.raises(DataError, match="has 4 frames, fewer than the 5 of one clip"):
        find_anomalies(families.RunFolder.open(world / "run"), tmp_path / "short.mkv", tmp_path / "out",
                       normal=[str(world / "normal")], false_alarms=0.1)  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["short.mkv"]


def test_the_command_writes_a_report(world, capsys):
    words = ["video-unet", "anomalies", str(world / "run"), str(world / "box.mkv"), "--normal", str(world / "normal")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--false-alarms", "0.05", "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["report"] == str(world / "run" / "anomalies" / "box" / "report.html")
    assert told["events"] >= 1
