"""Reading on in the log of a Pod: every line once, whatever the answers look like."""

from datetime import datetime, timedelta, timezone
from random import Random

import pytest

from starlake_dagster_assets.execution.backends.remote.kubernetes_log import (
    LogPosition,
    LogUnavailableError,
    read_new_lines,
    since_time,
)

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.utc)


class Node:
    """A log as the node keeps it."""

    def __init__(self, random: Random) -> None:
        self.random, self.lines, self.now = random, [], BEGIN
        self.rotated = 0

    def write(self) -> None:
        self.now += timedelta(microseconds=self.random.choice([0, 0, 1, 400_000, 1_500_000]))
        self.lines.append((self.now, self.random.choice(["", "same", "same", f"line {len(self.lines)}"])))

    def answer(self, since: str | None, *, half: bool) -> str:
        begin = datetime.fromisoformat(since.replace("Z", "+00:00")) if since else BEGIN
        kept = [(when, text) for when, text in self.lines[self.rotated :] if when >= begin]
        told = "".join(f"{self.stamp(when)} {text}\n" for when, text in kept)
        return told[: -self.random.randint(1, 3)] if half and kept else told

    def stamp(self, when: datetime) -> str:
        if self.random.random() < 0.3:
            return when.astimezone(timezone(timedelta(hours=-3, minutes=-30))).isoformat()
        return when.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize("seed", range(200))
def test_every_line_once_and_in_order(seed):
    random = Random(seed)
    node, position, got = Node(random), LogPosition(), []
    for _ in range(40):
        for _ in range(random.randint(0, 4)):
            node.write()
        told = node.answer(since_time(position), half=random.random() < 0.3)
        new, position, gap = read_new_lines(told, LogPosition.of(position.to_dict()), ended=False)
        got += new
        assert not gap
    got += read_new_lines(node.answer(since_time(position), half=False), position, ended=True)[0]
    assert got == [text for _, text in node.lines]


def test_a_rotated_log_is_noticed():
    node = Node(Random(1))
    for _ in range(10):
        node.write()
    _, position, gap = read_new_lines(node.answer(None, half=False), LogPosition(), ended=False)
    assert not gap
    for _ in range(5):
        node.write()
    node.rotated = 12
    new, position, gap = read_new_lines(node.answer(since_time(position), half=False), position, ended=False)
    assert (gap, len(new)) == (True, 3)
    assert read_new_lines(node.answer(since_time(position), half=False), position, ended=False)[2] is False


def test_the_last_line_of_a_program_that_is_over_may_lack_its_end():
    told = "2026-03-01T12:00:00.5Z one\n2026-03-01T12:00:00.45Z"
    assert list(read_new_lines("2026-03-01T12:00:00.5Z one", LogPosition(), ended=False)[0]) == []
    assert list(read_new_lines("2026-03-01T12:00:00.5Z one", LogPosition(), ended=True)[0]) == ["one"]
    assert list(read_new_lines(told, LogPosition(), ended=True)[0]) == ["one", ""]


def test_a_text_of_the_node_is_no_log():
    with pytest.raises(LogUnavailableError, match="unable to retrieve"):
        read_new_lines("unable to retrieve container logs for containerd://1\n", LogPosition(), ended=True)
