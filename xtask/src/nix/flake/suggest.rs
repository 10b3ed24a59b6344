//! "Did you mean": the nearest of several names.

/// Endings of image packages: whoever names the package means its host.
const ENDINGS: [&str; 4] = ["-sdimage", "-sd-image", "-image", "-sd"];

/// The name nearest to `given`, if it is near enough to be a typing error: a third of the letters may differ, in any
/// case. The name of a host's image counts as that of the host.
pub fn nearest<'a>(given: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let host = ENDINGS.iter().find_map(|ending| given.strip_suffix(ending)).unwrap_or(&given);
    let scored = names.map(|name| {
        let lower = name.to_lowercase();
        (strsim::levenshtein(&given, &lower).min(strsim::levenshtein(host, &lower)), name)
    });
    scored
        .filter(|(distance, name)| *distance <= name.len().max(given.len()).div_ceil(3))
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_recognised() {
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
            assert_eq!(nearest(given, names.into_iter()), expected, "{given}");
        }
    }
}
