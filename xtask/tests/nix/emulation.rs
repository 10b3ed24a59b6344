//! The verdict on emulation is that of a real build in the sandbox of Nix, with the same table and the same settings.

use std::fs;

use crate::support::{Sandbox, binfmt};

/// Cases: the emulator and its flags, and the setting `sandbox-paths`. In it, `$E` is the folder of the emulators.
const CASES: &[(&str, &str, &str)] = &[
    ("static", "F", ""),
    ("static", "", ""),
    ("static", "", "$E"),
    ("static", "", "$E/static"),
    ("static", "", "/elsewhere=$E"),
    ("dynamic", "F", ""),
    ("dynamic", "", "$E"),
    ("dynamic", "F", "/lib? /lib64? /usr/lib? /usr/lib64? /nix/store?"),
];

#[test]
#[cfg(target_arch = "x86_64")]
#[ignore = "needs Nix and user namespaces: run `cargo xtask test`"]
fn the_verdict_is_that_of_a_build_in_the_sandbox() {
    if !binfmt::has_private_tables() {
        return;
    }
    let mut verdicts = Vec::new();
    for (emulator, flags, shown) in CASES {
        let mut sandbox = Sandbox::new();
        let emulators = sandbox.path("emulators");
        binfmt::make_emulators(&emulators);
        let place = emulators.display().to_string();
        let settings = format!(
            "extra-platforms = aarch64-linux\nsandbox = true\nsandbox-fallback = false\nsubstitute = false\n\
             build-users-group =\nrequire-drop-supplementary-groups = false\nsandbox-paths = {}\n",
            shown.replace("$E", &place)
        );
        fs::create_dir(sandbox.path("etc")).expect("making a folder");
        fs::write(sandbox.path("etc/nix.conf"), settings).expect("writing settings");
        let (etc, state) = (sandbox.path("etc"), sandbox.path("var"));
        sandbox.env("NIX_CONF_DIR", etc).env("NIX_STATE_DIR", state);
        sandbox.env("NIX_USER_CONF_FILES", "/dev/null").env("NIX_CONFIG", "");
        let store = sandbox.path("store").display().to_string();
        let build = format!(
            "nix build --extra-experimental-features 'nix-command flakes' --store {store} --impure --no-link --expr \
             'derivation {{ name = \"probe\"; system = \"aarch64-linux\"; builder = \"${{{place}/program}}\"; }}' 2>{store}.log || true"
        );
        let steps = format!("register e {place}/{emulator} '{flags}'\n{build}");
        let wrapper = binfmt::wrapper(&place, &steps);
        let wrapper = wrapper.iter().map(String::as_str).collect::<Vec<_>>();
        let outcome = sandbox.xtask(&["--json", "doctor"]).wrapped_in(&wrapper).run();
        // The program exits with 42; one that did not start leaves another error.
        let log = fs::read_to_string(sandbox.path("store.log")).expect("the log of the build");
        let case = format!("{emulator} {flags} {shown}\n{log}");
        let builds = log.contains("exit code 42");
        assert!(builds || log.contains("-program': No such file or directory"), "{case}");
        let result = outcome.json();
        assert_eq!(result["requirements"][1]["met"], builds, "{case}{}", result["requirements"][1]);
        verdicts.push(builds);
    }
    assert_eq!(verdicts, [true, false, true, true, false, false, false, true]);
}
