"""The kinds of artifacts as the editor knows them."""

from collections.abc import Mapping

from console.editing import prompts, skills
from console.editing.kind import Editing

EDITED: Mapping[str, Editing] = {"skill": skills.SkillEditing(), "prompt": prompts.PromptEditing()}
