
# `cargo xtask` is completed here, and every other command of cargo as before.
@FUNCTION@_cargo() {
    local first=1
    [[ ${COMP_WORDS[1]} == +* ]] && first=2
    if [[ ${COMP_WORDS[first]} == xtask ]] && ((COMP_CWORD > first)); then
        @FUNCTION@ "$@"
        return
    fi
    if [[ -z $_@FUNCTION@_of_cargo ]]; then
        # bash-completion loads the completions of cargo now, and registers them.
        if declare -F _comp_load >/dev/null; then
            _comp_load cargo
        elif declare -F __load_completion >/dev/null; then
            __load_completion cargo
        fi >/dev/null 2>&1
        @FUNCTION@_take_cargo
    fi
    if [[ -n $_@FUNCTION@_of_cargo ]]; then
        "$_@FUNCTION@_of_cargo" "$@"
    else
        compopt -o default
    fi
}

# Remembers the function that completes cargo, and takes its place.
@FUNCTION@_take_cargo() {
    local registered
    registered=$(complete -p cargo 2>/dev/null)
    if [[ $registered =~ -F\ ([^ ]+) && ${BASH_REMATCH[1]} != @FUNCTION@_cargo ]]; then
        _@FUNCTION@_of_cargo=${BASH_REMATCH[1]}
    fi
    complete -F @FUNCTION@_cargo cargo
}

@FUNCTION@_take_cargo
