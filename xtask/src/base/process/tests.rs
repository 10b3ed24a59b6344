use super::*;

#[test]
fn stderr_is_streamed_and_stdout_returned() {
    let mut lines = Vec::new();
    let script = "echo one >&2; echo out; echo two >&2; exit 3";
    let launcher = Launcher::new("/");
    let output = launcher.stream("sh", &["-c", script], |line| lines.push(line.to_owned())).unwrap();
    assert_eq!((output.code, output.stdout.as_str()), (3, "out\n"));
    assert_eq!(lines, ["one", "two"]);
}

#[test]
fn a_child_that_closes_its_stderr_and_goes_on_is_stopped_at_its_limit() {
    let limit = Some(Duration::from_millis(200));
    let script = "exec 2>&-; exec sleep 60";
    let error = Launcher::new("/").stream_killable("sh", &["-c", script], limit, |_| {}).unwrap_err();
    assert!(error.is::<TimedOut>(), "{error:#}");
}

#[test]
fn a_variable_that_is_set_twice_has_the_last_value() {
    let launcher = Launcher::new("/").with_env("WORD", "replaced").with_env("WORD", "seen");
    let args = ["-c", "echo $WORD"];
    assert_eq!(launcher.stream("sh", &args, |_| {}).unwrap().stdout, "seen\n");
}

#[test]
fn stream_all_keeps_the_order_of_both_streams() {
    let mut lines = Vec::new();
    let script = "echo one; echo two >&2; echo three; exit 5";
    let code = Launcher::new("/").stream_all("sh", &["-c", script], |line| lines.push(line.to_owned()));
    assert_eq!(code.unwrap(), 5);
    assert_eq!(lines, ["one", "two", "three"]);
}

#[test]
fn an_exchange_sends_a_line_and_receives_lines() {
    let mut lines = Vec::new();
    let keep = |line: &str| lines.push(line.to_owned());
    let ended = Launcher::new("/").exchange("head", &["-n1"], "hello", &[], keep, None).unwrap();
    assert_eq!((ended, lines), (ExchangeEnd { code: 0, stopped: false }, vec!["hello".to_owned()]));
}

#[test]
fn the_error_of_a_command_has_its_stderr() {
    let error = Launcher::new("/").read("sh", &["-c", "echo bad >&2; exit 7"]).unwrap_err();
    assert_eq!(error.to_string(), "sh -c echo bad >&2; exit 7 failed with exit code 7: bad");
}

#[test]
fn a_program_that_does_not_exist_is_an_error() {
    assert!(Launcher::new("/").capture("no-such-program", &[""; 0]).is_err());
}
