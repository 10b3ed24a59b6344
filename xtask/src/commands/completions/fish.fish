# Completions for fish 3.4 or newer, printed by `completions fish` of @PROGRAM@.
function @FUNCTION@
    set -l before (commandline --current-process --tokenize --cut-at-cursor)
    set -l current (commandline --current-token --cut-at-cursor)
    # The option of a value that is joined to it.
    set -l option (string match --regex -- '^--[^=]*=' "$current")
    set -l value (string replace --regex -- '^--[^=]*=' '' "$current")
    for line in (@PROGRAM@ __complete fish -- $before "$current" 2>/dev/null </dev/null)
        switch $line
            case :files
                string replace --regex -- '^' "$option" (__fish_complete_path "$value")
            case :folders
                string replace --regex -- '^' "$option" (__fish_complete_directories "$value" '')
            case '*'
                printf '%s\n' $line
        end
    end
end
