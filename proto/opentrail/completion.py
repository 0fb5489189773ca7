"""Shell completion, read off a command's own parser: what it takes is what is offered.

    opentrail completion bash        a script for bash, or for zsh, which runs bash's

The script is a table of the commands below a program, each with its sub-commands, its options and
the values of options that have a fixed choice, and one function that walks it. Everything else is
completed as a file name. It asks no running program, so it is quick; after an update of the program
the script is made again.
"""

import argparse
from collections.abc import Iterator
from typing import Literal, get_args

Shell = Literal["bash", "zsh"]
SHELLS: tuple[Shell, ...] = get_args(Shell)

_FUNCTION = """\
_{name}_completes() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} path=. i
  for ((i = 1; i < COMP_CWORD; i++)); do
    [[ -n ${{_{name}_words[$path ${{COMP_WORDS[i]}}]+known}} ]] && path="$path ${{COMP_WORDS[i]}}"
  done
  COMPREPLY=()
  if [[ -n ${{_{name}_choices[$path:$before]+known}} ]]; then
    COMPREPLY=($(compgen -W "${{_{name}_choices[$path:$before]}}" -- "$word"))
  elif [[ $word == -* || -n ${{_{name}_words[$path]}} ]]; then
    local offered=${{_{name}_words[$path]}}
    [[ $word == -* ]] && offered=${{_{name}_options[$path]}}
    COMPREPLY=($(compgen -W "$offered" -- "$word"))
  fi
}}
complete -o default -F _{name}_completes {program}
"""


def add_completion(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    """Add the command `completion`; whoever runs it calls `completion_of`."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "completion", help="print a shell's completion script: source <(… completion bash)"
    )
    parser.add_argument("shell", choices=SHELLS)
    return parser


def completion_of(parser: argparse.ArgumentParser, shell: Shell) -> str:
    """The script for `parser`'s program."""
    program = parser.prog
    name = program.replace("-", "_")
    tables: dict[str, list[str]] = {"words": [], "options": [], "choices": []}
    for path, level in _levels(parser, "."):
        words = [word for word, _ in _commands(level)]
        tables["words"].append(_entry(path, words))
        tables["options"].append(_entry(path, _options(level)))
        for action in level._actions:
            if action.choices and action.option_strings:
                values = [str(each) for each in action.choices]
                tables["choices"] += [
                    _entry(f"{path}:{option}", values) for option in action.option_strings
                ]
    lines = [f"# Completion of {program}; made by `{program} completion {shell}`."]
    if shell == "zsh":
        lines.append("autoload -U +X bashcompinit && bashcompinit")
    for table, entries in tables.items():
        lines.append(f"declare -gA _{name}_{table}=(\n" + "\n".join(entries) + "\n)")
    lines.append(_FUNCTION.format(name=name, program=program))
    return "\n".join(lines)


def _entry(key: str, words: list[str]) -> str:
    return f'  ["{key}"]="{" ".join(words)}"'


def _levels(
    parser: argparse.ArgumentParser, path: str
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    yield path, parser
    for word, child in _commands(parser):
        yield from _levels(child, f"{path} {word}")


def _commands(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    """The commands below `parser` that are for people: those with help."""
    return [
        (word, child)
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for word, child in action.choices.items()
        if word in {each.dest for each in action._choices_actions}
    ]


def _options(parser: argparse.ArgumentParser) -> list[str]:
    return [
        option
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
        if option.startswith("--")
    ]
