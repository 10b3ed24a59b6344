# Readers of values that may throw, or be of another type than expected: configurations of all versions of NixOS.
let
  inherit (builtins)
    deepSeq
    isAttrs
    isList
    tryEval
    ;
  valueOr = default: tried: if tried.success then tried.value else default;
  # The result of `tryEval` for `value` if it is a set, for an empty set if it is another value.
  attempt = value: tryEval (if isAttrs value then value else { });
  # `value`, or `default` if any part of `value` throws.
  orElse = default: value: valueOr default (tryEval (deepSeq value value));
in
{
  inherit attempt orElse;
  # `value` if it is a set, or an empty set if it is another value or throws.
  setOf = value: valueOr { } (attempt value);
  # `value` if it is a list, or `default` if it is another value or throws. Its elements may throw.
  listOr = default: value: valueOr default (tryEval (if isList value then value else default));
}
