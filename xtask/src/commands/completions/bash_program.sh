complete -F @FUNCTION@ @COMMAND@
