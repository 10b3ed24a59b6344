//! Flakes in temporary folders, for the tool and the real Nix.

use std::fs;
use std::io::BufRead;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::support::{Outcome, Sandbox};

/// The content of every image: 200 sectors, with one partition from sector 100 to 150.
pub const IMAGE: &[u8] = &{
    let mut bytes = [0x5a; 102_400];
    let mut index = 0;
    while index < 512 {
        bytes[index] = 0;
        index += 1;
    }
    bytes[446 + 4] = 0x83;
    bytes[446 + 8] = 100;
    bytes[446 + 12] = 50;
    bytes[510] = 0x55;
    bytes[511] = 0xaa;
    bytes
};

/// A sandbox with a flake.
pub struct Fixture {
    sandbox: Sandbox,
}

/// A file of a flake in a git repository: its name and its text.
pub enum FlakeFile<'a> {
    Tracked(&'a str, &'a str),
    Untracked(&'a str, &'a str),
}

impl Fixture {
    /// A folder without a flake.
    pub fn empty() -> Self {
        let fixture = Self { sandbox: Sandbox::new() };
        // The sandbox of a build contains no other program.
        fs::create_dir(fixture.path("flake/busybox")).expect("making a folder");
        fs::copy(find_program("busybox"), fixture.path("flake/busybox/busybox")).expect("copying busybox");
        fixture
    }

    /// A folder with the `flake.nix` of the text `flake`.
    pub fn plain(flake: &str) -> Self {
        let fixture = Self::empty();
        fs::write(fixture.path("flake/flake.nix"), flake).expect("writing the flake");
        fixture.write_image();
        fixture
    }

    /// Writes the image beside the flake.
    pub fn write_image(&self) {
        let image = zstd::bulk::compress(IMAGE, 3).expect("compressing");
        fs::write(self.path("flake/image.zst"), image).expect("writing the image");
    }

    /// A flake with images for the system of this machine. Each of `images` is a host and the Nix expression of its
    /// image.
    pub fn with_images(images: &[(&str, &str)]) -> Self {
        let packages = images.iter().map(|(host, image)| format!("{host}-sdImage = {image};\n"));
        let packages = packages.collect::<String>();
        Self::plain(&format!(
            "{{ outputs = {{ self }}: {{ packages.{} = {{\n{packages}}}; }}; }}\n",
            system()
        ))
    }

    /// A git repository with `files`.
    pub fn repository(files: &[FlakeFile]) -> Self {
        let fixture = Self::empty();
        fixture.git(&["init", "--quiet"]);
        for file in files {
            let (FlakeFile::Tracked(name, text) | FlakeFile::Untracked(name, text)) = file;
            fs::write(fixture.path("flake").join(name), text).expect("writing a file of the flake");
            if let FlakeFile::Tracked(name, _) = file {
                fixture.git(&["add", name]);
            }
        }
        fixture
    }

    /// The path of `name` in the sandbox.
    pub fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path(name)
    }

    /// The sandbox, in which the flake is the folder `flake`.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub fn sandbox_mut(&mut self) -> &mut Sandbox {
        &mut self.sandbox
    }

    /// Runs the tool on the flake.
    pub fn run(&self, args: &[&str]) -> Outcome {
        self.sandbox.run(&self.with_flake(args).iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The command that runs the tool on the flake, in a process group of its own, as a terminal does.
    pub fn command(&self, args: &[&str]) -> Command {
        let args = self.with_flake(args);
        let mut command = self.sandbox.command(&args.iter().map(String::as_str).collect::<Vec<_>>());
        command.process_group(0);
        command
    }

    /// The store path that the image of `host` will have.
    pub fn image_path(&self, host: &str) -> PathBuf {
        let flake = self.path("flake");
        let out = format!("{}#packages.{}.{host}-sdImage.outPath", flake.display(), system());
        let features = ["--extra-experimental-features", "nix-command flakes"];
        run("nix", &[&features[..], &["eval", "--raw", &out]].concat()).into()
    }

    /// The arguments `args` after the option that names the flake.
    fn with_flake(&self, args: &[&str]) -> Vec<String> {
        let flake = ["--flake".to_owned(), self.path("flake").display().to_string()];
        flake.into_iter().chain(args.iter().map(ToString::to_string)).collect()
    }

    /// Runs git in the folder of the flake.
    pub fn git(&self, args: &[&str]) {
        let flake = self.path("flake").display().to_string();
        run("git", &[&["-C", &flake], args].concat());
    }
}

/// The path of `program` on `PATH`.
pub fn find_program(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH is set");
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists()).expect(program)
}

/// The system of the machine that runs the tests.
pub fn system() -> String {
    format!("{}-linux", std::env::consts::ARCH)
}

/// The Nix expression of a derivation whose builder runs `script`. Each derivation has a new name, so that Nix builds
/// it every time.
pub fn builder(name: &str, script: &str) -> String {
    let salt = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970").as_nanos();
    let script = script.replace('\\', r"\\").replace('"', "\\\"");
    format!(
        r#"derivation {{ name = "nixos-sd-image-{name}-{salt}"; system = "{}"; builder = "${{./busybox}}/busybox"; args = [ "sh" "-c" "{script}" ]; }}"#,
        system()
    )
}

/// The Nix expression of a derivation that makes an image of `host` from [`IMAGE`].
pub fn image(host: &str) -> String {
    let file = format!("$out/sd-image/nixos-sd-image-{host}.img.zst");
    builder(host, &format!("mkdir -p $out/sd-image; cp ${{./image.zst}} {file}"))
}

/// Reads lines until one contains `text`, and returns all lines. Fails after `deadline`.
pub fn read_until(source: &mut impl BufRead, text: &str, deadline: Instant) -> String {
    let mut seen = String::new();
    while !seen.contains(text) {
        assert!(Instant::now() < deadline, "no {text} in time: {seen}");
        assert!(source.read_line(&mut seen).expect("reading the output") > 0, "no {text}: {seen}");
    }
    seen
}

/// Runs `program`, asserts that it succeeds, and returns its stdout.
#[expect(clippy::disallowed_methods, reason = "a test sets things up without the tool")]
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect(program);
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether the store has got a file with `text` since the folder `since` was made. What the store had before cannot
/// contain a text that is newer, and may take minutes to read.
#[expect(clippy::disallowed_methods, reason = "a test sets things up without the tool")]
pub fn has_got(since: &Path, text: &str) -> bool {
    let ctime = |path: &Path| path.symlink_metadata().map(|found| (found.ctime(), found.ctime_nsec()));
    let start = ctime(since).expect("a folder");
    let entries = fs::read_dir("/nix/store").expect("the store").flatten().map(|entry| entry.path());
    // A path may vanish meanwhile: Nix makes temporary ones.
    let new = entries.filter(|path| ctime(path).is_ok_and(|time| time >= start));
    Command::new("grep").args(["-rqsF", "--", text, "/dev/null"]).args(new).status().expect("grep").success()
}
