"""Damaged videos: what becomes of thousands of seeded mutations of small valid files of every container and codec.

Run: python benchmarks/video_mutations.py [COUNT] [PROCESSES]     writes video_mutations.md beside itself

Each file is read whole. Allowed are frames, or a refusal of one line. Not allowed: the process ends or computes for
more than 10 s, another error, more than 512 MiB above what it had, fewer frames than were written and not a word.
"""

import collections
import contextlib
import io
import itertools
import json
import os
import platform
import queue
import resource
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

from theodolite.data import videos
from theodolite.data.clips import clip
from theodolite.data.decoding import Decoding
from theodolite.kernel.errors import TheodoliteError

os.environ["SVT_LOG"] = "1"  # an encoder that says much
SECONDS, MEBIBYTES = 10.0, 512
FRAMES = 10
ORIGINALS = {  # container and codec, and what else
    "h264.mp4": {},
    "h264-fast.mp4": {"options": {"movflags": "+faststart"}},
    "h264-fragments.mp4": {"options": {"movflags": "frag_keyframe+empty_moov"}},
    "h264-turned.mov": {"angle": 90},
    "h264.mkv": {},
    "h264.ts": {},
    "h264.avi": {},
    "h264-sound.mp4": {"sound": "aac"},
    "h264-sound.ts": {"sound": "aac"},
    "hevc.mp4": {"codec": "libx265", "encoder": {"x265-params": "log-level=none"}},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mkv": {"codec": "libsvtav1"},
    "mpeg4.avi": {"codec": "mpeg4"},
    "mpeg2.mpg": {"codec": "mpeg2video"},
    "ffv1.mkv": {"codec": "ffv1", "pixels": "bgr0"},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "png.mov": {"codec": "png", "pixels": "rgb24"},
    "raw.avi": {"codec": "rawvideo", "pixels": "yuv420p"},
}
NUMBERS = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def write(path, *, codec="libx264", pixels="yuv420p", options=None, encoder=None, angle=None, sound=None):
    """Write a small valid video."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=25, options=encoder or {})
        stream.height, stream.width, stream.pix_fmt = 64, 64, pixels
        if angle:
            stream.set_display_rotation(angle)
        heard = container.add_stream(sound, rate=44100) if sound else None
        for image in clip(0, 3, FRAMES, 64, 64):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
        for number in range(8 if heard else 0):
            hum = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            hum.rate, hum.pts, hum.time_base = 44100, 1024 * number, Fraction(1, 44100)
            container.mux(heard.encode(hum))


def originals(folder):
    """Contents of the valid files, by name; codecs that this FFmpeg cannot write are left out."""
    made = {}
    for name, settings in ORIGINALS.items():
        try:
            write(folder / name, **settings)
            made[name] = (folder / name).read_bytes()
        except (av.FFmpegError, ValueError) as error:
            print(f"left out {name}: {error}", file=sys.stderr)
    picture = io.BytesIO()
    pages = [Image.fromarray(image) for image in clip(0, 3, FRAMES, 64, 64)]
    pages[0].save(picture, "GIF", save_all=True, append_images=pages[1:])
    return made | {"gif.mp4": picture.getvalue()}  # one that is none


def mutated(files, number):
    """Name and content of mutation `number`: a function of that number."""
    random = np.random.default_rng([7, number])
    name = list(files)[int(random.integers(len(files)))]
    content = bytearray(files[name])
    for _ in range(int(random.integers(1, 4))):
        kind = KINDS[int(random.integers(len(KINDS)))]
        content = kind(content, random, files) or bytearray(b"\0")
    return name, bytes(content)


def _flip(content, random, _):
    for place in random.integers(0, len(content), int(2 ** random.uniform(0, 8))):
        content[place] ^= 1 << int(random.integers(8))
    return content


def _noise(content, random, _):
    for place in random.integers(0, len(content), int(2 ** random.uniform(0, 8))):
        content[place] = int(random.integers(256))
    return content


def _head(content, random, _):
    """Numbers that programmers forget, among the first or last kilobyte, where headers are."""
    reach = min(len(content), 1024)
    for _ in range(int(random.integers(1, 9))):
        width = int(random.choice([1, 2, 4, 8]))
        place = int(random.integers(reach)) + (len(content) - reach) * int(random.integers(2))
        number = int(random.choice(NUMBERS)) & (256**width - 1)
        content[place : place + width] = number.to_bytes(width, "big" if random.integers(2) else "little")
    return content


def _cut(content, random, _):
    return content[: int(random.integers(1, len(content) + 1))]


def _behead(content, random, _):
    return content[int(random.integers(len(content))) :]


def _remove(content, random, _):
    first, last = np.sort(random.integers(0, len(content), 2))
    return content[:first] + content[last:]


def _repeat(content, random, _):
    first, last = np.sort(random.integers(0, len(content), 2))
    return content[:last] + content[first:]


def _blank(content, random, _):
    first = int(random.integers(len(content)))
    length = min(int(2 ** random.uniform(0, 12)), len(content) - first)
    content[first : first + length] = bytes([int(random.choice([0, 255]))]) * length
    return content


def _splice(content, random, files):
    other = files[list(files)[int(random.integers(len(files)))]]
    return content[: int(random.integers(1, len(content) + 1))] + other[int(random.integers(len(other))) :]


KINDS = (_flip, _flip, _noise, _head, _head, _cut, _behead, _remove, _repeat, _blank, _splice)


def read(path):
    """Read a file whole, as the commands do; how it ended, frames, and what was said."""
    seen, frames, sum_of_pixels = Decoding(), 0, 0
    try:
        header = videos.probe(path)
        videos.count_frames(path)
        for frame in videos.read_frames(path, seen=seen):
            frames, sum_of_pixels = frames + 1, zlib.crc32(frame, sum_of_pixels)
        return {"end": "frames", "frames": frames, "said": len(seen.warnings(header)), "pixels": sum_of_pixels}
    except TheodoliteError as refusal:
        lines = len(str(refusal).splitlines())
        return {"end": "refused" if lines == 1 else "refused in many lines", "frames": frames, "said": 1}
    except Exception as error:
        return {"end": f"{type(error).__name__}: {error}", "frames": frames, "said": 0}


def serve():
    """In a process of its own: read mutations by number, a line of JSON for each."""
    with tempfile.TemporaryDirectory() as folder:
        files = originals(Path(folder))
        whole = {}
        for name in files:  # before memory is looked at: what FFmpeg loads once is no growth
            (Path(folder) / name).write_bytes(files[name])
            whole[name] = read(Path(folder) / name).get("pixels")
        start = peak()
        for line in sys.stdin:
            name, content = mutated(files, int(line))
            path = Path(folder) / f"mutated{Path(name).suffix}"
            path.write_bytes(content)
            began = time.process_time()
            found = read(path)
            seconds = time.process_time() - began
            found |= {"name": name, "seconds": seconds, "grown": peak() - start}
            found["changed"] = found.pop("pixels", None) != whole[name]
            print(json.dumps(found), flush=True)


def peak():
    """Largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def run(numbers, processes):
    """Outcome of each mutation; a process that ends or stalls is replaced, and its file counted as a crash or hang."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    outcomes = {}
    for number in numbers:
        waiting.put(number)

    def work():
        process = begin()
        while True:
            try:
                number = waiting.get_nowait()
            except queue.Empty:
                end(process)
                return
            watch = threading.Timer(30 * SECONDS, process.kill)  # of the clock: the machine may be busy
            watch.start()
            try:
                process.stdin.write(f"{number}\n")
                process.stdin.flush()
                outcomes[number] = json.loads(process.stdout.readline())
            except (BrokenPipeError, json.JSONDecodeError):
                code = end(process)
                outcomes[number] = {"end": "hang" if code == -9 else f"crash, code {code}", "said": 0, "frames": 0}
                process = begin()
            finally:
                watch.cancel()

    workers = [threading.Thread(target=work) for _ in range(processes)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [outcomes[number] for number in numbers]


def begin():
    """One more process that reads."""
    return subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def end(process):
    """Let a process end, close its pipes, and say with which code it ended."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdout.close()
    return process.wait()


def bad(outcome):
    """What is wrong with an outcome, or nothing."""
    if outcome["end"] not in ("frames", "refused"):
        return outcome["end"]
    if outcome["seconds"] > SECONDS:
        return f"{outcome['seconds']:.1f} s"
    if outcome["grown"] > MEBIBYTES:
        return f"{outcome['grown']:.0f} MiB"
    if outcome["end"] == "frames" and outcome["frames"] < FRAMES and not outcome["said"]:
        return "silently fewer frames"
    return ""


def main(count, processes):
    """Run, and write the table."""
    began = os.times()
    outcomes = run(range(count), processes)
    ended = os.times()
    seconds = ended.children_user + ended.children_system - began.children_user - began.children_system
    wrong = collections.Counter(filter(None, map(bad, outcomes)))
    read_whole = [each for each in outcomes if each["end"] == "frames"]
    rows = {
        "files": len(outcomes),
        "refused in one line": sum(each["end"] == "refused" for each in outcomes),
        "read, and something said": sum(each["said"] > 0 for each in read_whole),
        "read, nothing to say, every pixel as written": sum(
            not each["said"] and not each["changed"] for each in read_whole
        ),
        "read, nothing to say, other pixels: all frames are there, and no decoder objected": sum(
            not each["said"] and each["changed"] for each in read_whole
        ),
        "processes ended, hangs, other errors, over budget, silently fewer frames": sum(wrong.values()),
    }

    def largest(what):
        return max(each.get(what, 0.0) for each in outcomes)

    lines = [
        "# Damaged videos",
        "",
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, python {platform.python_version()}, "
        f"PyAV {av.__version__}; {seconds:.0f} CPU seconds.",
        "",
        f"Seeded mutations of {len(ORIGINALS) + 1} small files (bits and bytes changed, cut, beheaded, spliced, pieces "
        "removed, repeated or blanked, header numbers replaced; one to three of these each), every one read whole.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value:,} |" for name, value in rows.items()),
        f"| longest, CPU seconds (allowed: {SECONDS:.0f}) | {largest('seconds'):.2f} |",
        f"| memory above the start, MiB (allowed: {MEBIBYTES}) | {largest('grown'):.0f} |",
        "",
        *(f"- {what}: {times}" for what, times in wrong.most_common()),
    ]
    text = "\n".join(lines).rstrip() + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)
    by_file = itertools.groupby(sorted(outcomes, key=lambda each: each.get("name", "")), lambda each: each.get("name"))
    for name, group in by_file:
        ends = collections.Counter(each["end"][:40] for each in group)
        print(f"{name}: {dict(ends)}", file=sys.stderr)


if __name__ == "__main__":
    if "--serve" in sys.argv:
        serve()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, int(sys.argv[2]) if len(sys.argv) > 2 else 2)
