# Lists of the images at a place.
#
# A place may hold what is no image for a card: an ISO, or a value that throws. Such a miss is passed over for a later
# place that has an image, and answered where none has.
let
  inherit (builtins)
    filter
    head
    isAttrs
    isString
    match
    tail
    tryEval
    ;

  # The images of the first list that has any; later lists are not evaluated. If none has any, all misses.
  firstOf =
    let
      next =
        misses: lists:
        let
          images = filter (it: !isMiss it) (head lists);
        in
        if lists == [ ] then
          misses
        else if images != [ ] then
          images
        else
          next (misses ++ head lists) (tail lists);
    in
    next [ ];

  isImage = value: isAttrs value && value.type or null == "derivation";
  isIsoName = name: isString name && match ".*[.]iso([.](bz2|gz|xz|zst))?" name != null;
  isIso = image: image.isIso or false || isIsoName image.name || isIsoName image.file;
  isMiss = image: image ? thrown || isIso image;
  # A package with the name of a host may also be its system, or a program.
  isNamedImage = image: match ".*(image|[.]img|[.]raw|[.]iso).*" (image.name or "") != null;

  # A value that throws.
  thrownAt = place: path: {
    inherit place path;
    thrown = true;
    name = "";
    file = null;
    config = null;
  };

  # A list of the image `set.name`, found at `place`, where `path` is the attribute path of `set`. The list is empty if
  # there is no image, and has a miss if the value throws.
  imageAt =
    place: path: set: name:
    let
      tried = tryEval (set.${name} or null);
      image = tried.value;
    in
    if !tried.success then
      [ (thrownAt place (path ++ [ name ])) ]
    else if isImage image then
      [
        {
          inherit place;
          path = path ++ [ name ];
          name = image.name or "";
          system = image.system or null;
          derivation = image.drvPath;
          file = image.passthru.filePath or image.filePath or null;
          # A variant of nixpkgs has the configuration that it is made of.
          config = image.passthru.config or null;
        }
      ]
    else
      [ ];
in
{
  inherit
    firstOf
    imageAt
    isIso
    isMiss
    isNamedImage
    thrownAt
    ;
}
