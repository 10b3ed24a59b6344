
# `cargo xtask` is completed here; the completions of cargo stay as they are.
function @FUNCTION@_is_called
    set -l words (commandline --current-process --tokenize --cut-at-cursor)
    set -l first 2
    string match --quiet -- '+*' "$words[2]"; and set first 3
    test "$words[$first]" = xtask
end

complete --command cargo --condition @FUNCTION@_is_called --no-files --keep-order --arguments '(@FUNCTION@)'
