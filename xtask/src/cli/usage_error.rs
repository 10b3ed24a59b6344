//! The parser's errors as errors of this tool, for `--json`.

use crate::base::failure::ExitKind;

/// The `error` of the parser: its first paragraph is what is wrong, its tips are the remedy. The usage and the advice
/// to read it are for people.
pub fn failure(error: &clap::Error) -> anyhow::Error {
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim);
    let problem = lines.by_ref().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let problem = problem.strip_prefix("error: ").unwrap_or(&problem);
    let tips = lines.filter_map(|line| line.strip_prefix("tip: ")).collect::<Vec<_>>().join("; ");
    let hint = if tips.is_empty() { "`--help` lists what the command takes".to_owned() } else { tips };
    ExitKind::Usage.error_with_hint(problem, hint)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::base::failure::{hint, kind};
    use crate::cli::Cli;

    #[test]
    fn a_usage_error_is_a_problem_and_a_remedy_without_the_usage() {
        let help = "`--help` lists what the command takes";
        for (words, problem, remedy) in [
            ("sd-image", "the following required arguments were not provided: <HOST>", help),
            (
                "deploy --wavs 1",
                "unexpected argument '--wavs' found",
                "a similar argument exists: '--waves'; to pass '--wavs' as a value, use '-- --wavs'",
            ),
            ("flsh", "unrecognized subcommand 'flsh'", "a similar subcommand exists: 'flash'"),
            ("deploy a --wait=x", "invalid value 'x' for '--wait", help),
            ("flash a b --board pi9", "[possible values: pi3, pi3+,", "a similar value exists: 'pi5'"),
        ] {
            let parsed = Cli::try_parse_from(std::iter::once("xtask").chain(words.split(' ')));
            let error = failure(&parsed.unwrap_err());
            assert!(error.to_string().contains(problem), "{words}: {error}");
            assert!(
                !error.to_string().contains("Usage") && !error.to_string().contains('\n'),
                "{words}: {error}"
            );
            assert_eq!((kind(&error), hint(&error)), (ExitKind::Usage, Some(remedy)), "{words}");
        }
    }
}
