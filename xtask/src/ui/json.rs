//! JSON for programs: the one result on stdout, and the events on stderr. Both have the version of their schema.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::Serialize;

use super::charset::Charset;
use super::open_events::OpenEvents;
use super::print_json_line;
use crate::base::{
    ErrorReport, Event, HostName, JsonResult, NextStep, Reporter, Subject, Timestamp, escape, program,
};

/// The version of the interface. Fields are added within a version; a new version renames or removes fields.
const SCHEMA: u32 = 1;

/// The fields of the result of this run, serialized, once they are known: `"devices":[…]`.
static FIELDS: Mutex<Option<String>> = Mutex::new(None);

/// Gives `result`, a struct with named fields, as the result of this run. [`print_json_result`] prints it when the
/// command has ended: only then it is known whether the command has failed.
///
/// # Errors
/// Where `result` is no struct with named fields.
pub fn print_json(result: &impl JsonResult) -> Result<()> {
    let text = serde_json::to_string(result).context("writing the result as JSON")?;
    let fields = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let fields = fields.with_context(|| format!("the result is not an object: {text}"))?;
    *FIELDS.lock().unwrap_or_else(PoisonError::into_inner) = Some(fields.to_owned());
    Ok(())
}

/// Prints the result of this run on stdout, in one line: what the command gave, and the error if it `ended` with one.
/// Returns `ended`.
///
/// # Errors
/// The error of the command, or else that of printing.
pub fn print_json_result(ended: Result<()>) -> Result<()> {
    let fields = FIELDS.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
    let error = ended.as_ref().err().map(ErrorReport::of);
    let next = super::next::take().filter(|_| error.is_none());
    let object = object(&fields, error.as_ref(), next.as_ref());
    let printed = print_json_line(&program::as_called_in_json(object));
    // The error of the command matters more than a result that cannot be printed.
    ended.and(printed)
}

/// A printed result: of a command that has succeeded, or that has failed with a result or without one.
#[cfg(test)]
#[expect(dead_code, reason = "only the schema is used")]
#[derive(Serialize, JsonSchema)]
#[serde(untagged)]
pub enum PrintedResult<T> {
    Result {
        #[schemars(extend("const" = SCHEMA))]
        schema: u32,
        /// The failure of the command; absent if it has succeeded.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<ErrorReport>,
        #[serde(flatten)]
        fields: T,
        /// The next sensible step.
        next: Option<NextStep>,
    },
    Failure {
        #[schemars(extend("const" = SCHEMA))]
        schema: u32,
        error: ErrorReport,
        next: Option<NextStep>,
    },
}

/// The object of a result: the version, the error of a command that has failed, these serialized `fields`, and the
/// next step.
fn object(fields: &str, error: Option<&ErrorReport>, next: Option<&NextStep>) -> String {
    let version = format!(r#""schema":{SCHEMA}"#);
    let error = error.and_then(|error| serde_json::to_string(error).ok());
    let error = error.map(|error| format!(r#""error":{error}"#)).unwrap_or_default();
    let next = serde_json::to_string(&next).unwrap_or_else(|_| "null".to_owned());
    let next = format!(r#""next":{next}"#);
    let parts = [version.as_str(), &error, fields, &next].into_iter().filter(|part| !part.is_empty());
    format!("{{{}}}", parts.collect::<Vec<_>>().join(","))
}

/// What has begun in the events of this run; `None` once the run has ended.
static OPEN: Mutex<Option<OpenEvents>> = Mutex::new(Some(OpenEvents::NONE));

/// Prints each event as a line of JSON on stderr: stdout is for the result.
pub struct JsonLines;

impl JsonLines {
    fn print(subject: Option<&Subject>, event: &Event) {
        // The lock is held until the lines are printed, so that nothing ends before its beginning.
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        for (subject, event) in open.iter_mut().flat_map(|open| open.pair(subject, event)) {
            print_event(&EventLine::of(subject.as_ref(), &event));
        }
    }
}

impl Reporter for JsonLines {
    fn report(&self, event: &Event) {
        Self::print(None, event);
    }

    fn report_for(&self, subject: &Subject, event: &Event) {
        Self::print(Some(subject), event);
    }
}

/// Prints the end of all that has begun. Afterwards only [`print_last_event`] prints: threads that a stopped run leaves
/// behind have nothing to add.
pub fn end_events() {
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    for (subject, event) in open.take().into_iter().flat_map(OpenEvents::end) {
        print_event(&EventLine::of(subject.as_ref(), &event));
    }
}

/// Prints an event of the end of the run.
pub fn print_last_event(event: &Event) {
    print_event(&EventLine::of(None, event));
}

/// An event with what each line has.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Event")]
pub struct EventLine<'a> {
    #[schemars(extend("const" = SCHEMA))]
    schema: u32,
    /// When the event was printed.
    time: Timestamp,
    /// The host that the event is about, where a command works on several hosts, or on several cards.
    host: Option<&'a HostName>,
    /// The card that the event is about, where a command works on several.
    device: Option<&'a Path>,
    #[serde(flatten)]
    event: &'a Event,
}

impl<'a> EventLine<'a> {
    fn of(subject: Option<&'a Subject>, event: &'a Event) -> Self {
        let host = subject.and_then(Subject::host);
        let device = subject.and_then(Subject::device);
        Self { schema: SCHEMA, time: Timestamp::now(), host, device, event }
    }
}

/// Prints `event` on stderr. A closed stderr is not an error.
fn print_event(event: &EventLine<'_>) {
    if let Some(line) = event_json(event) {
        let line = Charset::of_locale().spell(program::as_called_in_json(line));
        super::write_story(&line);
    }
}

/// `event` as one line of JSON, escaped; `None` if it cannot be serialized.
pub(super) fn event_json(event: &impl Serialize) -> Option<String> {
    serde_json::to_string(event).ok().map(|line| escape::json(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_has_its_version_its_error_and_its_fields() {
        let error = ErrorReport::of(&crate::failure!(Io, "no"));
        let of_error = r#""error":{"code":5,"kind":"io","message":"no","hint":null,"reasons":[]}"#;
        let step = NextStep::run("go", "goes");
        let of_step = r#""next":{"by_hand":null,"command":"go","reason":"goes"}"#;
        for (fields, error, next, expected) in [
            ("", None, None, r#"{"schema":1,"next":null}"#.to_owned()),
            (r#""a":1"#, None, Some(&step), format!(r#"{{"schema":1,"a":1,{of_step}}}"#)),
            ("", Some(&error), None, format!(r#"{{"schema":1,{of_error},"next":null}}"#)),
            (r#""a":1"#, Some(&error), None, format!(r#"{{"schema":1,{of_error},"a":1,"next":null}}"#)),
        ] {
            assert_eq!(object(fields, error, next), expected);
        }
    }

    #[test]
    fn an_event_has_its_version_its_time_and_its_subject() {
        let card = Subject::Card { device: "/dev/sdb".into(), host: Some("pi".into()) };
        let event = Event::PhaseEnded { name: Some("write".into()) };
        for (subject, expected) in [
            (None, r#""host":null,"device":null"#),
            (Some(&Subject::Host("pi".into())), r#""host":"pi","device":null"#),
            (Some(&card), r#""host":"pi","device":"/dev/sdb""#),
        ] {
            let line = EventLine { time: Timestamp::at(0), ..EventLine::of(subject, &event) };
            let begin = r#"{"schema":1,"time":"1970-01-01T00:00:00Z""#;
            let expected = format!(r#"{begin},{expected},"event":"phase_ended","name":"write"}}"#);
            assert_eq!(event_json(&line).unwrap(), expected);
        }
    }
}
