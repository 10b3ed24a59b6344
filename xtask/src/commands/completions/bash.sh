# Completions for bash 4.4 or newer, printed by `completions bash` of @PROGRAM@.
@FUNCTION@() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        :files) compopt -o default ;;
        :folders) compopt -o dirnames ;;
        *) COMPREPLY+=("$line") ;;
        esac
    done < <(@PROGRAM@ __complete bash -- "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null </dev/null)
}
