"""Which version brought each line: right for simple histories, bounded for long ones."""

from uuid import uuid4

from hypothesis import given
from hypothesis import strategies as st

from domain.artifacts.skills import Changes, File, Skill, SkillFields
from domain.content import Content, Ref
from projections.compare import blame
from projections.compare.blame import Blame, Step, Trail, bounded


def blamed(*texts: str) -> list[tuple[str, int]]:
    told = Blame()
    told.advance(enumerate(texts, 1))
    return list(zip(told.lines, told.numbers, strict=True))


def test_a_line_belongs_to_the_version_that_brought_it_last() -> None:
    assert blamed("a\nb\nc\n", "a\nB\nc\n", "new\na\nB\nc\n", "new\na\nB\nc") == [
        ("new\n", 3),
        ("a\n", 1),
        ("B\n", 2),
        ("c", 4),
    ]
    assert blamed("a\n", "", "a\n") == [("a\n", 3)]


@given(st.lists(st.lists(st.sampled_from("abcd"), max_size=8).map("\n".join), min_size=1, max_size=6))
def test_lines_are_those_of_the_last_text_and_versions_had_them(texts: list[str]) -> None:
    told = blamed(*texts)
    assert "".join(line for line, _ in told) == texts[-1]
    for line, number in told:
        assert line.rstrip("\n") in texts[number - 1].split("\n")


def test_a_file_is_followed_through_renames_and_not_beyond_its_removal() -> None:
    trail = Trail()
    skill, _ = Skill.create(
        id=uuid4(), version_id=uuid4(), name="s", fields=SkillFields("d"), body="b", files=[File("a", b"1")]
    )

    def follow() -> None:
        for event in skill.collect_events():
            trail.follow(event, skill.fork())

    follow()
    skill.publish(Changes(files=(File("a", b"2"),)), version_id=uuid4(), base_version=1, texts={})
    follow()
    skill.rename_file("a", "z", version_id=uuid4(), base_version=2)
    follow()
    skill.publish(Changes(body="c"), version_id=uuid4(), base_version=3, texts={})
    follow()
    assert [(step.number, step.ref) for step in trail.of("z")] == [(1, ref("1")), (2, ref("2"))]
    assert [step.number for step in trail.of(None)] == [1, 4]
    assert trail.of("a") == []
    skill.remove_file("z", version_id=uuid4(), base_version=4)
    follow()
    skill.add_file(File("z", b"2"), version_id=uuid4(), base_version=5)
    follow()
    assert [step.number for step in trail.of("z")] == [6]


def ref(text: str) -> Ref:
    return Content.of(text).ref


def test_only_so_many_changes_and_bytes_back_are_looked_at() -> None:
    short = [Step(number, Ref("", 10)) for number in range(1, 3001)]
    assert [step.number for step in bounded(short)] == list(range(3001 - blame.MAX_STEPS, 3001))
    long = [Step(number, Ref("", 1_000_000)) for number in range(1, 101)]
    assert len(bounded(long)) == blame.MAX_WALKED // 1_000_000
    assert bounded(long)[-1] == long[-1]
    assert bounded([Step(1, Ref("", blame.MAX_WALKED * 2))])
