#compdef @COMMAND@
# Completions for zsh, printed by `completions zsh` of @PROGRAM@.
@FUNCTION@() {
    local line paths
    local -a found
    for line in "${(@f)$(@PROGRAM@ __complete zsh -- "${(@)words[1,CURRENT-1]}" "$PREFIX" 2>/dev/null </dev/null)}"; do
        case $line in
        :files) paths=files ;;
        :folders) paths=folders ;;
        ?*) found+=("$line") ;;
        esac
    done
    local ret=1
    (($#found)) && _describe -V 'completion' found && ret=0
    [[ -n $paths && $PREFIX == --*=* ]] && compset -P '*='
    case $paths in
    files) _files && ret=0 ;;
    folders) _files -/ && ret=0 ;;
    esac
    return ret
}
