"""What help and documentation print is what works: every command line parses, every target, script and link is there."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from carbonnode.cli.main import cli

ROOT = Path(__file__).resolve().parents[3]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("carbonnode", ".venv/bin/carbonnode")
COMMENT = re.compile(r"\s(?:# .*|\s{2,}\S.*)$")
"""What stands behind a command in a block: an explanation after blanks, or after a hash."""


def commands(group: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, group
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            found = group.get_command(click.Context(group), name)
            assert found is not None, name
            yield from commands(found, (*path, name))


def lines_of(text: str) -> Iterator[str]:
    """Command lines in a text, continuations joined."""
    joined = re.sub(r"\\\n\s*", "", text)
    for line in joined.splitlines():
        bare = line.strip().removeprefix("$ ")
        if bare.startswith(tuple(f"{program} " for program in PROGRAMS)):
            yield re.sub(r" > \S+$", "", COMMENT.sub("", bare)).strip()


def blocks(document: Path) -> Iterator[str]:
    for block in re.findall(r"^```[^\n]*\n(.*?)^```", document.read_text("utf-8"), re.DOTALL | re.MULTILINE):
        yield from lines_of(block)


def inline(document: Path) -> Iterator[str]:
    for span in re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", document.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)):
        yield from lines_of(span)


def walk(words: list[str]) -> tuple[click.Command, str, list[str]]:
    """The command that words name, and what is left of them. Raises `LookupError`."""
    command: click.Command = cli
    path = "carbonnode"
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words[0])
        if found is None:
            raise LookupError(f"{path} has no command {words[0]!r}")
        command, path, words = found, f"{path} {words[0]}", words[1:]
    return command, path, words


def problem(line: str) -> str:
    """Why a complete command line would be refused by its parser; nothing if it wouldn't."""
    words = shlex.split(line)[1:]
    try:
        command, path, rest = walk(words)
        if not (isinstance(command, click.Group) and not rest):
            command.make_context(path, rest)
    except LookupError as error:
        return str(error)
    except click.UsageError as error:
        # A file of the reader's own need not lie here.
        return "" if "does not exist" in error.format_message() else error.format_message()
    except click.exceptions.Exit:
        return ""
    return ""


def loose_problem(line: str) -> str:
    """The same for a synopsis, or for words in running text: the names of commands and options are right."""
    found = re.match(r"\S+((?: [a-z][a-z0-9-]*(?:\|[a-z-]+)*)*)", line)
    assert found is not None
    words = found.group(1).split()
    try:
        for alternative in words[-1].split("|") if words else []:
            command, path, _ = walk([*(word.split("|")[0] for word in words[:-1]), alternative])
            known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
            if not isinstance(command, click.Group):
                for option in re.findall(r"(?<=[\s\[|(])(--[a-z][a-z-]*)", line):
                    if option not in known and option != "--help":
                        return f"{path} has no option {option}"
    except LookupError as error:
        return str(error)
    return ""


def test_every_example_in_help_parses() -> None:
    """What `--help` shows can be typed in."""
    seen, wrong = 0, []
    for path, command in commands(cli):
        for line in lines_of((command.help or "").replace("\b", "")):
            if "..." in line and "eval" not in line:
                line = line.replace("3f0a...", "3f" * 32).replace("77ab...", "77" * 32).replace("5f0c...e1", "5f" * 32)  # noqa: PLW2901  made whole
            seen += 1
            why = problem(line)
            if why:
                wrong.append(f"{' '.join(path)}: {line}: {why}")
    assert wrong == []
    assert seen > 100


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_in_the_documentation_exists(document: Path) -> None:
    wrong = []
    for line in blocks(document):
        synopsis = bool(re.search(r"\[-|\.\.\.|\||<|JSON_LIST|FILE|URL", line))
        why = loose_problem(line) if synopsis else problem(line)
        if why:
            wrong.append(f"{line}: {why}")
    wrong += [f"{line}: {why}" for line in inline(document) if (why := loose_problem(line))]
    assert wrong == []


def test_a_command_that_does_not_exist_is_found() -> None:
    assert "no command 'nodes'" in problem("carbonnode nodes list")
    assert "'--speed'" in problem("carbonnode sim --seed 1 --speed 3")
    assert "Missing option '--seed'" in problem("carbonnode sim")
    assert "no option --speed" in loose_problem("carbonnode sim --seed S [--speed 3]")
    assert "no command 'shov'" in loose_problem("carbonnode tx call|shov ID")
    assert problem("carbonnode sim --seed 1") == loose_problem("carbonnode snapshot list|create --dir D [--json]") == ""


def test_targets_scripts_and_links_are_there() -> None:
    """`make X` is a target with a line of help, `scripts/x.py` a file, a relative link leads somewhere."""
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    wrong = []
    for document in DOCUMENTS:
        text = document.read_text("utf-8")
        wrong += [f"{document.name}: make {name}" for name in re.findall(r"(?:^|`)make ([a-z][a-z-]*)", text, re.MULTILINE) if name not in targets]
        wrong += [f"{document.name}: {path}" for path in re.findall(r"scripts/[\w./-]+\.py", text) if not (ROOT / path).is_file()]
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            if not (document.parent / link).exists():
                wrong.append(f"{document.name}: {link}")
    assert wrong == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_answers_at_every_level(shell: str) -> None:
    """Commands, subcommands and options are offered."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    completer = kind(cli, {}, "carbonnode", "_CARBONNODE_COMPLETE")
    assert "_CARBONNODE_COMPLETE" in completer.source()
    for args, incomplete, offered in ((["dev"], "dev", "devnet"), (["govern"], "va", "validators"), (["tx", "call"], "--fr", "--from")):
        found = [item.value for item in completer.get_completions(args if not args[0].startswith("dev") else [], incomplete)]
        assert offered in found, (args, incomplete)


def test_the_four_cross_layer_areas_have_commands_and_documentation() -> None:
    """Development, operation and maintenance, security protection, audit (clause 7.5)."""
    areas = {"contract": "contracts.md", "doctor": "operators.md", "cert": "operators.md", "audit": "auditors.md"}
    names = cli.list_commands(click.Context(cli))
    for group, document in areas.items():
        assert group in names
        assert f"carbonnode {group}" in (ROOT / "docs" / document).read_text("utf-8") or f"`{group}`" in (ROOT / "docs" / document).read_text("utf-8")


def test_contradictions_of_the_standard_are_stated() -> None:
    """A row for each of them, with what is done and why."""
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs" / "interpretation.md").read_text("utf-8"), re.MULTILINE)
    stated = {clause.strip(): decision for clause, _, decision in rows}
    for clause in ("5.5 b", "8.10 e, 8.7 e to g", "7.2 a", "1, 8.9", "Figures 1 to 3"):
        assert len(stated.get(clause, "")) > 80, clause
