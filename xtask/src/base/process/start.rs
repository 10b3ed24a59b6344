//! Errors of children that do not start.

use std::io::{Error, ErrorKind};
use std::path::Path;

use anyhow::{Context, Result};

use super::Launcher;
use crate::failure;

impl Launcher {
    /// The child that `started`, or the error of `program`.
    ///
    /// # Errors
    /// `Other` for a program that is missing, as this may be found after changes, and the error of the operating system
    /// for any other reason.
    pub(super) fn started<T>(&self, program: &str, started: std::io::Result<T>) -> Result<T> {
        let is_missing = |error: &Error| error.kind() == ErrorKind::NotFound && self.lacks(program);
        match started {
            Err(error) if is_missing(&error) => Err(missing_error(program)),
            started => started.with_context(|| format!("running {program}")),
        }
    }

    /// Whether there is no `program`: a working folder or an interpreter that is missing has the same error.
    pub(super) fn lacks(&self, program: &str) -> bool {
        if program.contains('/') { !Path::new(program).exists() } else { self.which(program).is_none() }
    }
}

/// The error for a `program` that is missing.
pub(super) fn missing_error(program: &str) -> anyhow::Error {
    if program.contains('/') {
        return failure!(
            Other(MissingProgram), "the program {program} does not exist";
            hint: "install it again, then run the same command"
        );
    }
    failure!(
        Other(MissingProgram), "there is no {program} on PATH";
        hint: "install {program}, or run `cargo xtask setup`; then run the same command again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::failure::{ExitKind, ReasonKind, kind, reported_reasons};

    const NO_ARGS: [&str; 0] = [];

    #[test]
    fn each_way_to_run_a_missing_program_names_it() {
        let launcher = Launcher::new("/").with_env("PATH", "/no/such/folder");
        for program in ["nyx", "/no/such/nyx"] {
            let errors = [
                launcher.capture(program, &NO_ARGS).unwrap_err(),
                launcher.read(program, &NO_ARGS).unwrap_err(),
                launcher.stream(program, &NO_ARGS, |_| ()).unwrap_err(),
                launcher.stream_killable(program, &NO_ARGS, None, |_| ()).unwrap_err(),
                launcher.stream_all(program, &NO_ARGS, |_| ()).unwrap_err(),
                launcher.interact(program, &NO_ARGS).unwrap_err(),
                launcher.read_stdout(program, &NO_ARGS, |_| Ok(())).map(|_| ()).unwrap_err(),
                launcher.pipe((program, &NO_ARGS[..]), ("cat", &NO_ARGS[..])).unwrap_err(),
                launcher.start(program, &NO_ARGS, tempfile::tempfile().unwrap()).map(|_| ()).unwrap_err(),
            ];
            for error in errors {
                assert_eq!(kind(&error), ExitKind::Other, "{error:#}");
                assert!(error.to_string().contains(program), "{error:#}");
                assert_eq!(reported_reasons(&error)[0].kind, Some(ReasonKind::MissingProgram));
            }
        }
    }

    #[test]
    fn a_missing_folder_or_interpreter_is_no_missing_program() {
        let in_no_folder = Launcher::new("/no/such/folder");
        let error = in_no_folder.capture("true", &NO_ARGS).unwrap_err();
        assert_eq!(kind(&error), ExitKind::Io, "{error:#}");
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("script");
        std::fs::write(&script, "#!/no/such/interpreter\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&script, mode).unwrap();
        let error = Launcher::new("/").capture(&script.to_string_lossy(), &NO_ARGS).unwrap_err();
        assert_eq!(kind(&error), ExitKind::Io, "{error:#}");
    }
}
