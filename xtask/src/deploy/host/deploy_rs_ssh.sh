#!/bin/sh
case "$*" in @shared@) set -- @options@ "$@" ;; esac
set -- @ask_nothing@ "$@"
case "$*" in
@activation@) ;;
*) exec @ssh@ "$@" ;;
esac
# The host goes back by itself where an activation fails, and deploy-rs (1.0.0) does not always wait for that: it ends
# as soon as it hears of the failure. A connection that ended with it would end what goes back too, at its next line.
# So this connection lives until the host ends it.
trap '' @ignored@
# Where nobody reads any more, the first cat fails.
show() { cat 2>/dev/null || cat >/dev/null; }
exec 3>&1
code=$({ { @apart@ @ssh@ "$@" 2>&1; echo $? >&4; } | show >&3; } 4>&1)
exit "$code"
