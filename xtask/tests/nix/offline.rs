//! Flakes with an input that cannot be fetched: nothing listens at its address.

use crate::fixture::{Fixture, system};

#[test]
#[ignore = "needs Nix: run `cargo xtask test`"]
fn repeated_attempts_of_nix_are_one_warning() {
    let url = "http://127.0.0.1:1/a.tar.gz";
    let input = format!(
        "{{ inputs.a.url = \"{url}\"; outputs = {{ self, a }}: {{ nixosConfigurations.pi = a.x; }}; }}"
    );
    let hash = "0".repeat(64);
    let source = format!(
        "{{ outputs = _: {{ packages.{}.pi-sdImage = import <nix/fetchurl.nix> {{ url = \"{url}\"; sha256 = \"{hash}\"; }};
         }}; }}",
        system()
    );
    for flake in [input, source] {
        let outcome = Fixture::plain(&flake).run(&["sd-image", "pi"]);
        assert!(outcome.code != 0 && outcome.stderr.contains("unable to download 'http://127.0.0.1:1/a."));
        assert!(!outcome.stderr.contains("retrying"), "{}", outcome.stderr);
        let warning = "unable to download 'http://127.0.0.1:1/…': ";
        let lines = outcome.stderr.lines().filter(|line| line.contains(warning)).collect::<Vec<_>>();
        assert!(matches!(lines[..], [line] if line.ends_with("; Nix retries")), "{lines:?}");
    }
}
