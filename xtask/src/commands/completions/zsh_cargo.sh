
# `cargo xtask` is completed here, and every other command of cargo as before.
@FUNCTION@_cargo() {
    local first=2
    [[ $words[2] == +* ]] && first=3
    if [[ $words[first] == xtask ]] && ((CURRENT > first)); then
        @FUNCTION@
    elif [[ -n $_@FUNCTION@_of_cargo ]]; then
        $_@FUNCTION@_of_cargo "$@"
    else
        _default
    fi
}

[[ ${_comps[cargo]-} != @FUNCTION@_cargo ]] && typeset -g _@FUNCTION@_of_cargo=${_comps[cargo]-}
compdef @FUNCTION@_cargo cargo
