//! Independent checks, whose failures the user sees at once.

use super::failure::{ExitKind, Reason, kind, reasons, with_hint};

/// Both results of two independent checks. Where both failed, their errors as the reasons of one, which has the kind of
/// the first.
///
/// # Errors
/// Where one of the checks failed.
pub fn both<A, B>(one: anyhow::Result<A>, other: anyhow::Result<B>) -> anyhow::Result<(A, B)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
        (Err(one), Err(other)) => Err(both_errors(one, other)),
    }
}

/// `one` and `other` as the reasons of one error, which has the kind of the first.
#[expect(clippy::needless_pass_by_value, reason = "for a fold")]
fn both_errors(one: anyhow::Error, other: anyhow::Error) -> anyhow::Error {
    let reasons = [&one, &other].into_iter().flat_map(as_reasons).collect::<Vec<_>>();
    kind(&one).error_with_reasons(format_args!("{} checks failed", reasons.len()), reasons)
}

/// The results of independent checks. Where several failed, their errors as the reasons of one, which has the kind of
/// the first; a reason that several have in common comes once.
///
/// # Errors
/// Where one of the checks failed.
pub fn all<T>(results: impl IntoIterator<Item = anyhow::Result<T>>) -> anyhow::Result<Vec<T>> {
    let mut passed = Vec::new();
    let mut errors = Vec::<anyhow::Error>::new();
    for result in results {
        match result {
            Ok(value) => passed.push(value),
            Err(error) if errors.iter().any(|other| with_hint(other) == with_hint(&error)) => {}
            Err(error) => errors.push(error),
        }
    }
    let mut errors = errors.into_iter();
    let Some(first) = errors.next() else { return Ok(passed) };
    Err(errors.fold(first, both_errors))
}

/// The values of `results`. Where several failed, their errors as the reasons of one of the worst kind, which says how
/// many failed of how many, and `what`, such as "hosts cannot be built".
///
/// # Errors
/// Where one of the results is an error.
pub fn all_of<T>(results: impl IntoIterator<Item = anyhow::Result<T>>, what: &str) -> anyhow::Result<Vec<T>> {
    let (mut values, mut errors) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(error) => errors.push(error),
        }
    }
    // A run that the user stopped has one reason, however many results are missing.
    if errors.len() < 2 || errors.iter().all(|error| kind(error) == ExitKind::Interrupted) {
        return errors.pop().map_or(Ok(values), Err);
    }
    let worst = errors.iter().map(kind).max_by_key(|kind| kind.severity());
    let reasons = errors.iter().map(Reason::of_error).collect();
    let message = format!("{} of {} {what}", errors.len(), errors.len() + values.len());
    Err(worst.unwrap_or(ExitKind::Other).error_with_reasons(message, reasons))
}

/// The reasons of `error`; the error itself where it has none.
fn as_reasons(error: &anyhow::Error) -> Vec<Reason> {
    match reasons(error) {
        [] | [_] => vec![Reason::of_error(error)],
        several => several.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;

    #[test]
    fn the_failures_of_both_checks_are_reasons_of_one_error() {
        let refused = || failure!(Refused, "no terminal"; hint: "pass --yes");
        let missing = || failure!(Io, "no file").context("reading a");
        let reason = |text: &str| Reason { kind: None, message: text.into(), hint: None };
        let (one, two) = (reason("b"), reason("c"));
        let several = || ExitKind::Usage.error_with_reasons("refused", vec![one.clone(), two.clone()]);
        for (first, second, kind_of_both, text) in [
            (Ok(()), Ok(()), None, ""),
            (Err(refused()), Ok(()), Some(ExitKind::Refused), "no terminal; pass --yes"),
            (Ok(()), Err(missing()), Some(ExitKind::Io), "reading a: no file"),
            (
                Err(refused()),
                Err(missing()),
                Some(ExitKind::Refused),
                "2 checks failed\n  - no terminal; pass --yes\n  - reading a: no file",
            ),
            (
                Err(several()),
                Err(refused()),
                Some(ExitKind::Usage),
                "3 checks failed\n  - b\n  - c\n  - no terminal; pass --yes",
            ),
        ] {
            let error = both(first, second).err();
            assert_eq!(error.as_ref().map(kind), kind_of_both);
            assert_eq!(error.as_ref().map(with_hint).unwrap_or_default(), text);
        }
    }

    #[test]
    fn an_error_says_how_many_of_all_failed() {
        let refused = || failure!(Refused, "a"; hint: "pass --yes");
        let text = |results| all_of(results, "images cannot be built").map_err(|error| with_hint(&error));
        assert_eq!(text(vec![Ok(1), Ok(2)]), Ok(vec![1, 2]));
        assert_eq!(text(vec![Ok(1), Err(refused())]), Err("a; pass --yes".into()));
        let several = "2 of 3 images cannot be built\n  - a; pass --yes\n  - b";
        assert_eq!(text(vec![Err(refused()), Ok(1), Err(failure!(Io, "b"))]), Err(several.into()));
    }
}
