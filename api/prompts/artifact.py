"""In what the operations of all kinds are their own for prompts; see ``api.artifacts.controller``."""

from api.artifacts.controller import ArtifactApi, Rows, artifact_controller
from api.artifacts.schemas import PromptDiff
from api.http.query import Query
from api.prompts import schemas
from api.prompts.controller import CONTENT, show_of
from domain.artifacts.prompts import Prompt
from projections.read import prompts
from projections.read.kinds import KINDS

TEXTS = {
    "archive": "Every version and label leaves all reads at once, and the name is free again.",
    "duplicate": "Version 1 of `new_name` with the latest text and configuration of this prompt, without its labels.",
    "rename": (
        "No new version: versions keep their ids, numbers and times, and labels stay. The old name leads to the new one until\n"
        "another prompt takes it: reads are redirected (302), writes are 404 with `renamed_to`. The name that it has is no error."
    ),
    "resolve": "A prompt as `version`, `label` or `version_id` pick it, one page of its versions, newest first, and its labels.",
    "history": "Every event of the name, newest first, moves of labels included.",
    "diff": (
        "Configuration, description and text, with unified hunks; what is no text is compared as indented JSON.\n"
        "\n"
        "A prompt over 200,000 bytes or 10,000 lines has no hunks and says `truncated`."
    ),
    "blame": (
        "Of the text, or of the indented JSON of any other value; 1,000 changes or 20 MB of texts back.\n"
        "\n"
        "Older lines are given to the oldest version that was looked at (`complete` is false then). A prompt over 200,000\n"
        "bytes or 10,000 lines is `truncated`: it has no lines."
    ),
    "revert": "A new version with the prompt and config of `version`. `base_version` is required, or `If-Match`.",
    "restore": "With all its versions, without labels; 400 `unique` while the name is taken, 404 when there is nothing.",
    "archived": "Every archived prompt that can come back, the last archived first; `id` names it to restore.",
}


def rows(query: Query) -> Rows:
    """As ``content`` asks for them."""
    show = show_of(query)
    return Rows(with_body=show == "full", json=lambda row: prompts.row(row, show, None, deleted=True))


PromptArtifactController = artifact_controller(
    ArtifactApi(
        kind=KINDS[Prompt.KIND],
        answer=schemas.PromptAnswer,
        archive=schemas.PromptAnswer,
        duplicate=schemas.DuplicatePrompt,
        rename=schemas.RenamePrompt,
        resolved=schemas.ResolvePrompt,
        diff=PromptDiff,
        archived=schemas.ArchivedPromptPage,
        rows=rows,
        texts=TEXTS,
        archived_query=(CONTENT,),
    )
)
