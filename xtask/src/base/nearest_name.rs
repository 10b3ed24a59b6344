//! "Did you mean": the nearest of several names.

/// Endings of image packages, in lower case: a user who names the package means its host.
const IMAGE_ENDINGS: &[&str] = &["-sdimage", "-sd-image", "-image", "-sd"];

/// The one of `names` that is nearest to `given`; `None` where none is near enough for a typing error: at most a third
/// of the letters may differ. Case does not count. The name of a host's image package counts as that of the host.
pub fn nearest_name<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let host = IMAGE_ENDINGS.iter().find_map(|ending| given.strip_suffix(ending)).unwrap_or(&given);
    let distance = |name: &str| {
        let name = name.to_lowercase();
        strsim::levenshtein(&given, &name).min(strsim::levenshtein(host, &name))
    };
    // Of a single letter, any other would be as near.
    let max_distance = |name: &str| name.len().max(given.len()).div_ceil(3).min(name.len().saturating_sub(1));
    let near =
        names.map(|name| (distance(name), name)).filter(|(distance, name)| *distance <= max_distance(name));
    near.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_error_has_a_nearest_name() {
        let names = ["stinky", "zippy"];
        for (given, expected) in [
            ("stinkey", Some("stinky")),
            ("stniky", Some("stinky")),
            ("zipy", Some("zippy")),
            ("STINKY", Some("stinky")),
            ("stinky-sdImage", Some("stinky")),
            ("zippy-image", Some("zippy")),
            ("octopus", None),
        ] {
            assert_eq!(nearest_name(given, names.into_iter()), expected, "{given}");
        }
        assert_eq!(nearest_name("e", ["a", "b"].into_iter()), None);
    }
}
