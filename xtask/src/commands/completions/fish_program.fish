
complete --command @COMMAND@ --no-files --keep-order --arguments '(@FUNCTION@)'
