"""Completion of commands by a shell: a script with every flag, and the values that are known, as they are now.

Nothing of Secateur runs when Tab is pressed. Free of torch.
"""

from __future__ import annotations

import shlex

import pluggy

from secateur.config.kinds import KINDS
from secateur.config.names import NAMED_BY
from secateur.config.option import Option
from secateur.config.parser import dashed, general_options, names_of, options_of_readers, usual_options
from secateur.config.registry import Registry

#: Where each shell looks for scripts, and how it takes one at once.
BASH = """\
# Completion of secateur in bash. Written by: secateur --completion bash
# Keep it in ~/.local/share/bash-completion/completions/secateur, or take it at once:
#   source <(secateur --completion bash)
# In a checkout it completes the alias: alias secateur='python3 main.py'
_secateur() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} words=
    if [[ $word == = ]]; then
        word=
    elif [[ $before == = ]]; then
        before=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    case $before in
%s
    esac
    local values=${word%%"${word##*,}"}  # those of a list that are there: SNIP,GRASP
    [[ $word != -* ]] || words=$_secateur_flags
    COMPREPLY=($(compgen -P "$values" -W "$words" -- "${word##*,}"))
}
_secateur_flags=%s
complete -o default -F _secateur secateur
"""
ZSH = """\
#compdef secateur
# Completion of secateur in zsh. Written by: secateur --completion zsh
# Keep it as _secateur in a folder of $fpath, or take it at once, after compinit:
#   source <(secateur --completion zsh)
# In a checkout it completes the alias: alias secateur='python3 main.py'
_secateur() {
    _arguments \\
%s
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _secateur "$@"
else
    compdef _secateur secateur
fi
"""


def completion(shell: str, registry: Registry, hooks: pluggy.PluginManager) -> str:
    """Return the script for `bash` or `zsh`."""
    options = {option.flag: option for option in reversed(_options(registry, hooks))}
    named = {option.flag: [dashed(name) for name in names_of(option)] for option in options.values()}
    flags = {name: options[flag] for flag, names in sorted(named.items()) for name in names}
    values = {option.flag: _values(option, registry) for option in options.values()}
    if shell == "zsh":
        return ZSH % " \\\n".join(f"        {_for_zsh(name, flags[name], values)}" for name in flags)
    cases = [
        f"        {'|'.join(names)}) words={shlex.quote(' '.join(values[flag]))} ;;"
        for flag, names in sorted(named.items())
        if values[flag]
    ]
    free = [name for name, option in flags.items() if not (option.is_switch or values[option.flag])]
    cases += [f"        {'|'.join(free)}) ;;", "        *) words=$_secateur_flags ;;"]
    return BASH % ("\n".join(cases), shlex.quote(" ".join(sorted(flags))))


def _options(registry: Registry, hooks: pluggy.PluginManager) -> list[Option]:
    declared = [*options_of_readers(hooks), *usual_options(registry), *general_options(registry)]
    declared += [one for component in registry.everything() for one in component.declared_in_source()]
    return [one.option for one in declared]


def _values(option: Option, registry: Registry) -> list[str]:
    """The values of an option that can be listed."""
    if kind := NAMED_BY.get(option.flag) or option.names:
        return [component.name for component in registry.components(kind)]
    if option.flag == "list":
        return ["all", *KINDS]
    if option.flag == "help":
        return ["all", *(component.name for component in registry.everything())]
    return [*option.choices, *option.synonyms]


def _for_zsh(name: str, option: Option, values: dict[str, list[str]]) -> str:
    """A flag as `_arguments` takes it: its name, what it does, and what its value can be."""
    text = option.help.partition(";")[0].replace("[", "(").replace("]", ")").replace("\\", "")
    if option.is_switch:
        return shlex.quote(f"{name}[{text}]")
    found = " ".join(values[option.flag])
    several = f"_sequence compadd - {found}"  # as --prune_criterion SNIP,GRASP
    action = (f"({found})" if option.words else several) if found else "_files" if option.is_path else " "
    before = {"": ":", "?": "::", "+": ":*-*:"}[option.words]
    return shlex.quote(f"{name}[{text}]{before}{option.shown.replace(':', '')}:{action}")
