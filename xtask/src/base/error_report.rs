//! An error as data: for programs that read `--json`, and for the tool that started a worker.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::{self, ExitKind, Reason};

/// An error: what the exit code means, and the texts that people read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorReport {
    /// The exit code.
    pub code: u8,
    /// The kind of the error, which the exit code stands for.
    pub kind: ExitKind,
    pub message: String,
    /// The remedy.
    pub hint: Option<String>,
    /// Of a refusal each reason with its remedy, at least one; of another error each of several.
    pub reasons: Vec<Reason>,
}

impl ErrorReport {
    pub fn of(error: &anyhow::Error) -> Self {
        let kind = failure::kind(error);
        Self {
            code: kind.code(),
            kind,
            message: failure::text(error),
            hint: failure::hint(error).map(str::to_owned),
            reasons: failure::reported_reasons(error),
        }
    }

    /// The error that this report was made of.
    pub fn into_error(self) -> anyhow::Error {
        self.kind.error_with(self.message, self.hint, self.reasons)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::ReasonKind;

    #[test]
    fn an_error_survives_as_data() {
        let mounted = Reason {
            kind: Some(ReasonKind::InUse),
            message: "mounted".into(),
            hint: Some("unmount it".into()),
        };
        let small = Reason { kind: None, message: "small".into(), hint: None };
        let reasons = vec![mounted, small];
        for (error, json) in [
            (crate::failure!(Io, "no"), r#"{"code":5,"kind":"io","message":"no","hint":null,"reasons":[]}"#),
            (
                crate::failure!(HostKey, "no"; hint: "yes").context("outer"),
                r#"{"code":13,"kind":"host_key","message":"outer: no","hint":"yes","reasons":[]}"#,
            ),
            (
                ExitKind::Refused.error_with_reasons("no", reasons),
                r#"{"code":3,"kind":"refused","message":"no","hint":null,"reasons":[{"kind":"in_use","message":"mounted","hint":"unmount it"},{"kind":null,"message":"small","hint":null}]}"#,
            ),
            // A single reason repeats the error, whoever made it.
            (
                crate::failure!(Refused, "no"; hint: "yes").context("outer"),
                r#"{"code":3,"kind":"refused","message":"outer: no","hint":"yes","reasons":[{"kind":null,"message":"outer: no","hint":"yes"}]}"#,
            ),
            (
                crate::failure!(Refused(InUse), "{} is mounted", "a"; hint: "unmount {}", "a")
                    .context("outer"),
                r#"{"code":3,"kind":"refused","message":"outer: a is mounted","hint":"unmount a","reasons":[{"kind":"in_use","message":"outer: a is mounted","hint":"unmount a"}]}"#,
            ),
            (
                crate::failure!(Refused(NotACard), "no"),
                r#"{"code":3,"kind":"refused","message":"no","hint":null,"reasons":[{"kind":"not_a_card","message":"no","hint":null}]}"#,
            ),
        ] {
            assert_survives(&error, json);
        }
    }

    #[test]
    fn errors_that_are_no_refusals_have_a_reason_where_it_has_a_word() {
        for (error, json) in [
            (
                crate::failure!(Usage(UnknownHost), "no"; hint: "yes").context("outer"),
                r#"{"code":2,"kind":"usage","message":"outer: no","hint":"yes","reasons":[{"kind":"unknown_host","message":"outer: no","hint":"yes"}]}"#,
            ),
            (
                anyhow::Error::from(std::io::Error::from_raw_os_error(28)).context("writing a"),
                r#"{"code":5,"kind":"io","message":"writing a: No space left on device","hint":null,"reasons":[{"kind":"no_room","message":"writing a: No space left on device","hint":null}]}"#,
            ),
        ] {
            assert_survives(&error, json);
        }
    }

    /// Checks that `error` is `json` as data, and the same when it is read back.
    fn assert_survives(error: &anyhow::Error, json: &str) {
        let report = ErrorReport::of(error);
        assert_eq!(serde_json::to_string(&report).unwrap(), json);
        let same = serde_json::from_str::<ErrorReport>(json).unwrap().into_error();
        assert_eq!(ErrorReport::of(&same), report);
    }
}
