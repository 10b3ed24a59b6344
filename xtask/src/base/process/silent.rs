//! The error of a child that does not begin its output in time.

use std::fmt;

/// The error of a child that wrote nothing to its stdout in time.
#[derive(Debug)]
pub struct Silent;

impl fmt::Display for Silent {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("there is no answer")
    }
}

impl std::error::Error for Silent {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Bounds, Launcher};
    use super::*;

    const BOUNDS: Bounds = Bounds { output: 1 << 20, time: Duration::from_secs(60) };

    #[test]
    fn a_child_that_must_begin_in_time_is_killed_only_without_output() {
        let bounds = (BOUNDS, Some(Duration::from_secs(3)));
        let run = |script| Launcher::new("/").run_bounded_with_log("sh", &["-c", script], bounds, &|| Ok(()));
        assert_eq!(run("printf a; sleep 4; echo b").unwrap().0.stdout, "ab\n");
        assert!(run("echo a >&2; exec sleep 60").unwrap_err().is::<Silent>());
        assert_eq!(run("exit 3").unwrap().0.code, 3);
    }
}
