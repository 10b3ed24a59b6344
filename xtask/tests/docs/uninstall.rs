//! The commands that remove the tool from a machine.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::page;
use crate::scene::Scene;
use crate::support::Sandbox;

#[test]
#[ignore = "needs git and ssh-keygen: run `cargo xtask test`"]
fn the_commands_of_the_page_keep_the_keys_and_remove_the_rest() {
    let mut sandbox = Sandbox::new();
    for program in ["sudo", "systemctl"] {
        sandbox.fake(program, "\"$@\"");
    }
    let [home, folder] = ["home", "home/cluster"].map(|name| sandbox.path(name));
    let [tools, states] =
        ["share", "state"].map(|name| home.join(".local").join(name).join("nixos-pi-xtask"));
    sandbox.env("XTASK_STATE", folder.join(".xtask")).env("XTASK_TOOLS", &tools);
    for made in
        [folder.join(".xtask/receipts"), folder.join("target"), tools.join("nix"), states.join("path")]
    {
        fs::create_dir_all(made).unwrap();
    }
    fs::set_permissions(folder.join(".xtask"), fs::Permissions::from_mode(0o700)).unwrap();
    let settings = sandbox.path("nix.conf");
    fs::write(&settings, "max-jobs = 2\nextra-extra-platforms = aarch64-linux\n").unwrap();
    let mut scene = Scene::new(&sandbox, &folder);
    scene.names.push(("/etc/nix/nix.conf", settings.display().to_string()));
    let prepare = "mkdir ~/.ssh; ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519\n\
                   echo '{ outputs = _: { }; }' >flake.nix; echo /.xtask/ >.gitignore; git init -q; git add .\n\
                   cargo xtask identity make pi --yes";
    scene.run(prepare, false).assert_code(0);
    let public = folder.join(".xtask/identity/pi/ssh_host_ed25519_key.pub");
    let key = fs::read_to_string(&public).unwrap();
    let blocks = page::blocks_of("docs/uninstall.md").into_iter().filter(|block| block.scene == "uninstall");
    blocks.for_each(|block| scene.run_block(&block));

    for gone in [&folder.join(".xtask"), &folder.join("target"), &tools, &states] {
        assert!(!gone.exists(), "{}", gone.display());
    }
    assert_eq!(fs::read_to_string(settings).unwrap(), "max-jobs = 2\n");
    scene
        .run("cargo xtask identity restore ~/hosts.age --age-identity ~/.ssh/id_ed25519", false)
        .assert_code(0);
    assert_eq!(fs::read_to_string(public).unwrap(), key);
}
