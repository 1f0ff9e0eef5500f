"""In what the operations of all kinds are their own for skills; see ``api.artifacts.controller``."""

from functools import partial

from api.artifacts import comparing
from api.artifacts.controller import ArtifactApi, Rows, artifact_controller
from api.artifacts.schemas import SkillDiff
from api.http.query import Query
from api.skills import schemas
from domain.artifacts.skills import Skill
from projections.read import skills
from projections.read.kinds import KINDS

TEXTS = {
    "archive": "Every version and label leaves all reads at once, and the name is free again.",
    "duplicate": "Version 1 of `new_name` with the latest content and files of this skill, without its labels.",
    "rename": (
        "No new version: versions keep their ids, numbers and times. The package of the latest one is rendered anew, so that\n"
        "SKILL.md has the new name; earlier ones keep their bytes. The old name leads to the new one until another skill takes\n"
        "it: reads are redirected (302), writes are 404 with `renamed_to`. The name that it has is no error."
    ),
    "resolve": "A skill as `version`, `label` or `version_id` pick it, one page of its versions, newest first, and its labels.",
    "history": "Every event of the name, newest first, moves of labels included: who did what when, and what changed by it.",
    "diff": (
        "Fields, metadata keys, body and files, with unified hunks; renamed files as the events say.\n"
        "\n"
        "A text over 200,000 bytes or 10,000 lines has no hunks and says `truncated`, and so has what comes after 2 MB."
    ),
    "blame": (
        "Of the body or of the file at `path`, through its renames; 1,000 changes or 20 MB of texts back.\n"
        "\n"
        "Older lines are given to the oldest version that was looked at (`complete` is false then). A text over 200,000\n"
        "bytes or 10,000 lines is `truncated`: it has no lines."
    ),
    "revert": "A new version that is equal to `version`, files included. `base_version` is required, or `If-Match`.",
    "restore": "With all its versions, without labels; 400 `unique` while the name is taken, 404 when there is nothing to restore.",
    "archived": "Every archived skill that can come back, the last archived first; `id` names it to restore.",
}
ROWS = Rows(with_body=False, json=partial(skills.row, deleted=True))


def rows(query: Query) -> Rows:
    return ROWS


SkillArtifactController = artifact_controller(
    ArtifactApi(
        kind=KINDS[Skill.KIND],
        answer=schemas.SkillAnswer,
        archive=None,
        duplicate=schemas.DuplicateSkill,
        rename=schemas.RenameSkill,
        resolved=schemas.ResolveSkill,
        diff=SkillDiff,
        archived=schemas.ArchivedSkillPage,
        rows=rows,
        texts=TEXTS,
        diff_query=(comparing.PATH,),
        blame_query=(comparing.BLAME_PATH,),
    )
)
