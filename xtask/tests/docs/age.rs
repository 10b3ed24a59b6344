//! The command that restores a backup of identities without this tool, with the real age.

use std::fs;

use crate::scene::Scene;
use crate::support::Sandbox;

const PASSPHRASE: &str = "five words that nobody guesses";

#[test]
#[ignore = "needs age and ssh-keygen: run `cargo xtask test`"]
fn a_backup_is_restored_without_this_tool() {
    let mut sandbox = Sandbox::new();
    let [folder, stick] = ["home/cluster", "stick"].map(|name| sandbox.path(name));
    sandbox.env("XTASK_STATE", folder.join(".xtask"));
    for made in [&folder, &stick] {
        fs::create_dir_all(made).expect("making a folder");
    }
    let mut scene = Scene::new(&sandbox, &folder);
    scene.names.push(("/media/stick", stick.display().to_string()));
    scene.answers = vec![("Passphrase of the new backup", PASSPHRASE), ("The same again", PASSPHRASE)];
    let back_up = "echo '{ outputs = _: { }; }' >flake.nix; echo /.xtask/ >.gitignore; git init -q; git add .\n\
                   cargo xtask identity make stinky --yes; cargo xtask identity backup /media/stick/identities.age";
    scene.run(&scene.here(back_up), true).assert_code(0);
    let key = folder.join(".xtask/identity/stinky/ssh_host_ed25519_key");
    let before = fs::read(&key).expect("a key");
    fs::rename(folder.join(".xtask"), folder.join("lost")).expect("losing the keys");
    fs::create_dir(folder.join(".xtask")).expect("making a folder");

    scene.answers = vec![("Enter passphrase", PASSPHRASE)];
    scene.run_all("age");
    assert_eq!(fs::read(&key).expect("a key"), before);
}
