"""The repository in which installers of plugins find the skills of a project: one plugin that holds all of them.

Installers know it by ``.claude-plugin/``, and take every folder of ``skills/`` that has a SKILL.md. Nothing here depends on
more than the log: not on the name of the project, which is no part of it.
"""

import msgspec

SKILLS = "skills"
FOLDER = ".claude-plugin"
MARKETPLACE = "marketplace.json"
PLUGIN = "plugin.json"

# At the root, so that a checkout has the bytes that every other way gives, whatever a user has set.
ATTRIBUTES_FILE = ".gitattributes"
ATTRIBUTES = b"* -text\n"

EXTENSION = "gemini-extension.json"

OWNER = "Skald"
DOMAIN = "skald.invalid"  # no mail ever arrives there


def name_of(project_id: int) -> str:
    """Of the marketplace and of its plugin; a user may have those of several projects."""
    return f"skald-{project_id}"


def version_of(sequence: int) -> str:
    """The version of the plugin after so many changes; installers update when it rises."""
    return f"1.0.{sequence}"


def marketplace(project_id: int) -> bytes:
    """It names no version: that is in the plugin's own file, which all installers believe first."""
    name, description = name_of(project_id), _description(project_id)
    return _json(
        {
            "name": name,
            "owner": {"name": OWNER},
            "metadata": {"description": description},
            "plugins": [{"name": name, "source": "./", "description": description}],
        }
    )


def plugin(project_id: int, sequence: int) -> bytes:
    return _json(
        {
            "name": name_of(project_id),
            "version": version_of(sequence),
            "description": _description(project_id),
            "author": {"name": OWNER},
        }
    )


def extension(project_id: int, sequence: int) -> bytes:
    """By this file at the root Gemini takes a repository for an extension; it finds ``skills/`` by itself."""
    return _json(
        {
            "name": name_of(project_id),
            "version": version_of(sequence),
            "description": _description(project_id),
        }
    )


def who(actor_id: int | None) -> str:
    """The author of a commit, by id alone: a history that is copied everywhere holds no personal data."""
    if actor_id is None:
        return f"{OWNER} <skald@{DOMAIN}>"
    return f"user {actor_id} <user-{actor_id}@{DOMAIN}>"


def first_message() -> str:
    return "An empty marketplace\n"


def message(
    topic: str,
    name: str,
    old_name: str | None,
    number: int | None,
    sequence: int,
    position: int,
    left_out: list[str],
) -> str:
    """What happened to which skill; ``old_name`` is there for a rename alone, ``left_out`` are paths that git cannot hold."""
    what = {
        "skill.archived": "archived",
        "skill.restored": f"restored at version {number}",
        "skill.renamed": f"renamed from {old_name}",
        "skill.label_removed": "without the label",
        "skill.version_yanked": "yanked"
        if number is None
        else f"back to version {number}, as what came after is yanked",
    }.get(topic, f"version {number}")
    lines = [f"{name}: {what}", ""]
    if left_out:
        lines += ["Left out, because git cannot hold these paths:", *(f"  {path}" for path in left_out), ""]
    lines += [f"Plugin-Version: {version_of(sequence)}", f"Event: {topic}", f"Event-Position: {position}", ""]
    return "\n".join(lines)


def _description(project_id: int) -> str:
    return f"The skills of project {project_id}"


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
