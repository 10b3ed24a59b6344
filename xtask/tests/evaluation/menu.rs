//! The boot menu of a host, written by the builder of nixpkgs as the configuration of the host calls it. The script
//! of the demo must write the same menu.

#![allow(clippy::unwrap_used, reason = "the helpers of a suite end in a panic like the tests themselves")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use xtask::base::program_file;

/// The builder of boot menus in nixpkgs.
const BUILDER: &str = "nixos/modules/system/boot/loader/generic-extlinux-compatible/extlinux-conf-builder.sh";

/// The kernel parameters of the demo.
const PARAMETERS: &str = "console=ttyAMA0,115200 console=ttyS1,115200 panic=10";

/// Runs `script` with `args` where the folder `nix` is mounted at /nix, as on the host.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "the suites start programs themselves")]
fn run_on_host(nix: &Path, script: &str, args: &[&str]) {
    let script = format!("set -e; mount --bind \"$0\" /nix; {script}");
    let options = ["--user", "--map-root-user", "--mount", "sh", "-c", &script, nix.to_str().unwrap()];
    let output = Command::new("unshare").args(options).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The store path of generation `number`.
fn system(number: usize) -> String {
    format!("/nix/store/{number:04}-nixos-system-demo-26.05")
}

/// The /nix of a host with `generations` systems.
struct Host {
    dir: tempfile::TempDir,
    generations: usize,
}

impl Host {
    fn new(generations: usize) -> Self {
        let host = Self { dir: tempfile::tempdir().unwrap(), generations };
        let write = |file: &str, text: &str| {
            let file = host.nix().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        write("store/kkkk-linux-6.12/Image", "kernel");
        write("store/iiii-initrd-linux-6.12/initrd", "initrd");
        write("store/dddd-device-trees/broadcom/bcm2711-rpi-4-b.dtb", "tree");
        fs::create_dir_all(host.nix().join("var/nix/profiles")).unwrap();
        for number in 1..=generations {
            let folder = system(number).replace("/nix/", "");
            write(&format!("{folder}/nixos-version"), "26.05");
            write(&format!("{folder}/kernel-params"), PARAMETERS);
            for (name, target) in [
                ("kernel", "kkkk-linux-6.12/Image"),
                ("initrd", "iiii-initrd-linux-6.12/initrd"),
                ("dtbs", "dddd-device-trees"),
            ] {
                symlink(format!("/nix/store/{target}"), host.nix().join(&folder).join(name)).unwrap();
            }
            let link = host.nix().join(format!("var/nix/profiles/system-{number}-link"));
            symlink(system(number), link).unwrap();
        }
        // The files that all systems of the demo share.
        write("boot/demo/linux-Image", "kernel");
        write("boot/demo/initrd", "initrd");
        write("boot/dtbs/broadcom/bcm2711-rpi-4-b.dtb", "tree");
        host
    }

    /// The folder that is /nix on the host.
    fn nix(&self) -> PathBuf {
        self.dir.path().join("nix")
    }

    /// Runs `script` with the newest system as its argument, and reads the menu that the script writes.
    fn write_menu(&self, script: &str) -> Menu {
        fs::create_dir_all(self.nix().join("boot/extlinux")).unwrap();
        run_on_host(&self.nix(), script, &[&system(self.generations)]);
        let boot = self.nix().join("boot");
        Menu::read(&boot)
    }

    /// The menu of the builder of nixpkgs, with the arguments in `writer`, the command of the host's configuration.
    fn menu_of_nixpkgs(&self, writer: &str) -> Menu {
        let bash = self.dir.path().join("bash");
        fs::create_dir_all(bash.join("bin")).unwrap();
        symlink("/bin/bash", bash.join("bin/sh")).unwrap();
        let nixpkgs = std::env::var_os("XTASK_NIXPKGS").expect("XTASK_NIXPKGS has to name a source tree");
        let template = fs::read_to_string(Path::new(&nixpkgs).join(BUILDER)).unwrap();
        let text = template.replace("@bash@", bash.to_str().unwrap()).replace("@path@", "/usr/bin:/bin");
        assert!(!text.contains("@path") && !text.contains("@bash"), "{text}");
        let builder = self.dir.path().join("builder");
        program_file::write(&builder, text, 0o755).unwrap();
        let (_, args) = writer.split_once("extlinux-conf-builder.sh ").unwrap();
        self.write_menu(&format!("{} {args} -d /nix/boot -c \"$1\"", builder.display()))
    }

    /// The menu of the script of the demo.
    fn menu_of_the_demo(&self) -> Menu {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/boot-menu.sh");
        self.write_menu(&format!(
            "sh {} \"$1\" /nix/var/nix/profiles >/nix/boot/extlinux/extlinux.conf",
            script.display()
        ))
    }
}

/// An entry of a boot menu: its label, and its other keys with their values, in order.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    label: String,
    values: Vec<(String, String)>,
}

/// A boot menu. The values have the content of the files that they name.
#[derive(Debug, PartialEq, Eq)]
struct Menu {
    default: String,
    entries: Vec<Entry>,
}

impl Menu {
    /// Reads the menu in the boot folder `boot`.
    fn read(boot: &Path) -> Self {
        let text = fs::read_to_string(boot.join("extlinux/extlinux.conf")).unwrap();
        let mut menu = Self { default: String::new(), entries: Vec::new() };
        for (key, value) in text.lines().filter_map(|line| line.trim().split_once(' ')) {
            match key {
                "DEFAULT" => value.clone_into(&mut menu.default),
                "LABEL" => menu.entries.push(Entry { label: value.to_owned(), values: Vec::new() }),
                // These are for people: the dates of the generations, and the time for which the menu is shown.
                "#" | "TIMEOUT" | "MENU" => {}
                _ => {
                    let entry = menu.entries.last_mut().unwrap();
                    entry.values.push((key.to_owned(), resolve(boot, key, value)));
                }
            }
        }
        menu
    }

    /// The labels of all entries, in order.
    fn labels(&self) -> Vec<&str> {
        self.entries.iter().map(|entry| entry.label.as_str()).collect()
    }

    /// The first program of the entry `label`.
    fn init(&self, label: &str) -> &str {
        let entry = self.entries.iter().find(|entry| entry.label == label).unwrap();
        let append = &entry.values.iter().find(|(key, _)| key == "APPEND").unwrap().1;
        append.split(' ').next().unwrap()
    }
}

/// The content of the file or of the folder of device trees that `value` names, or `value` itself.
fn resolve(boot: &Path, key: &str, value: &str) -> String {
    let path = boot.join("extlinux").join(value);
    match key {
        "LINUX" | "INITRD" => fs::read_to_string(path).unwrap(),
        "FDTDIR" => fs::read_to_string(path.join("broadcom/bcm2711-rpi-4-b.dtb")).unwrap(),
        _ => value.to_owned(),
    }
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn the_newest_generation_is_the_default_of_the_menu() {
    let host = Host::new(2);
    let install = crate::evaluate()["installBootLoader"].as_str().unwrap();
    assert!(install.trim_end().ends_with("/bin/boot-trial install \"$1\""), "{install}");
    let writer = crate::evaluate()["menuWriter"].as_str().unwrap();
    assert!(writer.ends_with(" -g 4 -t 5"), "{writer}");
    let menu = host.menu_of_nixpkgs(writer);
    assert_eq!(menu.labels(), ["nixos-default", "nixos-2-default", "nixos-1-default"]);
    assert_eq!(menu.default, "nixos-default");
    for (label, number) in [("nixos-default", 2), ("nixos-2-default", 2), ("nixos-1-default", 1)] {
        assert_eq!(menu.init(label), format!("init={}/init", system(number)));
    }
    let entry = menu.entries[0].values.iter().cloned().collect::<BTreeMap<_, _>>();
    assert_eq!([&entry["LINUX"], &entry["INITRD"], &entry["FDTDIR"]], ["kernel", "initrd", "tree"]);
    // The kernel is copied to the folder from which U-Boot reads.
    assert!(host.nix().join("boot/nixos/kkkk-linux-6.12-Image").is_file());
}

#[test]
#[ignore = "needs Nix, XTASK_NIXPKGS and XTASK_INPUTS: run `cargo xtask test evaluation`"]
fn the_demo_writes_the_same_menu_as_nixos() {
    let writer = crate::evaluate()["menuWriter"].as_str().unwrap();
    for generations in [1, 2, 4, 11] {
        let host = Host::new(generations);
        let expected = host.menu_of_nixpkgs(writer);
        let menu = host.menu_of_the_demo();
        assert_eq!(menu.labels().len(), 1 + generations.min(4));
        assert_eq!(menu, expected, "{generations} generations");
    }
}
