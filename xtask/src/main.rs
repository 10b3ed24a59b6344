use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::run_command_line()
}
