
# A file in `fpath` is run to complete the first word; a script that is sourced registers the function.
if [[ $funcstack[1] == @FUNCTION@ ]]; then
    @FUNCTION@ "$@"
else
    compdef @FUNCTION@ @COMMAND@
fi
