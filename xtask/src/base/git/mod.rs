//! The one door to git. A repository may be foreign, and its `.git/config`, hooks and attributes name programs: git
//! runs none of them.

mod commit;
mod repository_dirs;

use std::ffi::{OsStr, OsString};
use std::path::Path;

use anyhow::Result;

use crate::base::process::{Launcher, Output};
pub use commit::find_commit;
pub use repository_dirs::repository_dirs;

/// A git command. All but [`Self::AddIntent`] read only names. Commands that compare contents (`status`, `diff`) are
/// missing: they run the filters of the repository, and no setting disables those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Checks whether the repository ignores a path.
    CheckIgnore,
    /// Lists the files of the index and of submodules, each with a tag of its state.
    ListFiles,
    /// Finds the commit that a name stands for, and prints its hash.
    FindCommit,
    /// Lists the files of the index, each with a NUL byte behind its name.
    ListNames,
    /// Adds paths to the index without their content: git then lists the files, and a commit takes them with `-a`. Git
    /// may run the filters of the repository, as `git add` of the user does: only for a user who asks for it.
    AddIntent,
}

impl Command {
    /// The arguments of git, before the paths or names.
    const fn args(self) -> &'static [&'static str] {
        match self {
            Self::CheckIgnore => &["check-ignore", "--quiet", "--"],
            Self::ListFiles => &["ls-files", "-v", "--recurse-submodules"],
            Self::FindCommit => &["rev-parse", "--verify", "--quiet"],
            Self::ListNames => &["ls-files", "-z"],
            Self::AddIntent => &["add", "--intent-to-add", "--"],
        }
    }
}

/// Settings that override the settings of the repository and of its submodules.
const SETTINGS: &[&str] = &[
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.pager=cat",
    "core.sshCommand=false",
    "credential.helper=",
    "protocol.allow=never",
    // A folder inside the repository that looks like a bare repository is not used as one.
    "safe.bareRepository=explicit",
    "submodule.recurse=false",
];

/// Variables by which git fetches nothing, takes no lock that it can do without, and prompts for nothing. Objects that
/// a partial clone lacks stay missing: git would fetch them by a program that the repository names.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("GIT_ALLOW_PROTOCOL", ""),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_TERMINAL_PROMPT", "0"),
];

/// Variables by which git would use another repository, index or configuration than that of the folder, or run a
/// program. Git sets some of them for hooks; [`capture`] unsets all.
const REDIRECTING_VARIABLES: &[&str] = &[
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_ATTR_SOURCE",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_EXTERNAL_DIFF",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Runs `command` for `paths` in the repository around `folder`. Returns its output; an exit code other than 0 is not
/// an error here.
pub fn capture(launcher: &Launcher, folder: &Path, command: Command, paths: &[&OsStr]) -> Result<Output> {
    let mut launcher = launcher.in_dir(folder);
    for (name, value) in ENVIRONMENT {
        launcher = launcher.with_env(*name, *value);
    }
    let mut git_args = vec![OsString::from("--no-pager")];
    git_args.extend(SETTINGS.iter().flat_map(|setting| ["-c", setting]).map(OsString::from));
    git_args.extend(command.args().iter().map(OsString::from));
    git_args.extend(paths.iter().map(|path| (*path).to_owned()));
    let redirecting = REDIRECTING_VARIABLES.iter().filter(|name| launcher.env(name).is_some());
    let mut env_args = redirecting.flat_map(|name| ["-u", name]).map(OsString::from).collect::<Vec<_>>();
    if env_args.is_empty() {
        return launcher.capture("git", &git_args);
    }
    env_args.push("git".into());
    env_args.extend(git_args);
    launcher.capture("env", &env_args)
}

/// Settings for the git that Nix runs: Nix before 2.20 asks git for the changes of a work tree.
const INHERITED: &[(&str, &str)] = &[("core.fsmonitor", "false"), ("core.hooksPath", "/dev/null")];

/// The same launcher; git below its children runs no hook and no file system monitor. The settings follow those that
/// are already in the environment.
pub fn harden(launcher: Launcher) -> Launcher {
    let known = launcher.env("GIT_CONFIG_COUNT").and_then(|count| count.to_str()?.parse::<usize>().ok());
    let first = known.unwrap_or(0);
    let mut hardened = launcher.with_env("GIT_CONFIG_COUNT", (first + INHERITED.len()).to_string());
    for (number, (key, value)) in (first..).zip(INHERITED) {
        hardened = hardened.with_env(format!("GIT_CONFIG_KEY_{number}"), *key);
        hardened = hardened.with_env(format!("GIT_CONFIG_VALUE_{number}"), *value);
    }
    hardened
}

#[cfg(test)]
mod tests {
    use std::fs;

    use std::path::PathBuf;

    use super::*;
    use crate::base::program_file;

    /// The repository `whole` with the submodule `part`. Wherever git takes a program from a repository, both name one
    /// that leaves a canary file behind.
    struct HostileRepository {
        dir: tempfile::TempDir,
    }

    /// The settings that git takes a program from.
    const PROGRAMS: &[&str] = &[
        "core.alternateRefsCommand",
        "core.askPass",
        "core.editor",
        "core.fsmonitor",
        "core.gitProxy",
        "core.pager",
        "core.sshCommand",
        "diff.external",
        "diff.evil.textconv",
        "filter.evil.clean",
        "remote.origin.uploadpack",
    ];

    impl HostileRepository {
        fn new() -> Self {
            let hostile = Self { dir: tempfile::tempdir().unwrap() };
            let script = format!("#!/bin/sh\n: >{}\nexec cat\n", hostile.path("canary").display());
            program_file::write(&hostile.path("program"), script, 0o755).unwrap();
            for name in ["part", "whole"] {
                hostile.git(".", &["init", "--quiet", name]);
                fs::write(hostile.path(name).join("a.txt"), "a").unwrap();
                fs::write(hostile.path(name).join(".gitattributes"), "* filter=evil diff=evil\n").unwrap();
                fs::write(hostile.path(name).join(".gitignore"), "keys\n").unwrap();
                if name == "whole" {
                    let part = hostile.path("part").display().to_string();
                    hostile.git(
                        name,
                        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &part, "part"],
                    );
                }
                hostile.git(name, &["add", "."]);
                hostile.git(name, &["commit", "--quiet", "-m", "a"]);
            }
            for repository in ["whole", "whole/part"] {
                hostile.poison(repository);
            }
            hostile
        }

        /// Names the program in the settings and the hooks of `repository`, and changes a file.
        fn poison(&self, repository: &str) {
            let program = self.path("program").display().to_string();
            for name in PROGRAMS {
                self.git(repository, &["config", name, &program]);
            }
            // A missing object is fetched by the program that the remote names.
            self.git(repository, &["config", "remote.origin.url", "/nowhere"]);
            self.git(repository, &["config", "remote.origin.promisor", "true"]);
            let hooks =
                if repository == "whole" { "whole/.git/hooks" } else { "whole/.git/modules/part/hooks" };
            fs::create_dir_all(self.path(hooks)).unwrap();
            std::os::unix::fs::symlink(self.path("program"), self.path(hooks).join("post-index-change"))
                .unwrap();
            fs::write(self.path(repository).join("a.txt"), "b").unwrap();
        }

        /// The path of the file or folder `name`.
        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        /// Runs git in `folder`, without protection.
        fn git(&self, folder: &str, words: &[&str]) {
            let author = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
            Launcher::new(self.path(folder)).read("git", &[&author, words].concat()).unwrap();
        }

        /// Removes the canary file. Returns whether the program ran since the last call.
        fn take_canary(&self) -> bool {
            fs::remove_file(self.path("canary")).is_ok()
        }
    }

    #[test]
    fn git_runs_no_program_of_the_repository() {
        let hostile = HostileRepository::new();
        let launcher = Launcher::new("/");
        let whole = hostile.path("whole");
        let _ = hostile.take_canary();
        // Without the settings the program runs.
        let unprotected = launcher.in_dir(&whole).with_env("GIT_CONFIG_COUNT", "0");
        unprotected.read("git", &["ls-files", "-v", "--recurse-submodules"]).unwrap();
        assert!(hostile.take_canary());
        let listed = capture(&launcher, &whole, Command::ListFiles, &[]).unwrap();
        assert_eq!(
            listed.stdout,
            "H .gitattributes\nH .gitignore\nH .gitmodules\nH a.txt\nH part/.gitattributes\nH part/.gitignore\nH part/a.txt\n"
        );
        // Ignored, not ignored, and refused by git, as the path is in a submodule.
        for (path, code) in [("keys", 0), ("a.txt", 1), ("part/a.txt", 128)] {
            let path = whole.join(path);
            assert_eq!(
                capture(&launcher, &whole, Command::CheckIgnore, &[path.as_os_str()]).unwrap().code,
                code
            );
        }
        let names = capture(&launcher, &whole, Command::ListNames, &[]).unwrap().stdout;
        assert_eq!(names, ".gitattributes\0.gitignore\0.gitmodules\0a.txt\0part\0");
        assert!(!hostile.take_canary());
    }

    #[test]
    fn git_stays_in_the_repository_of_the_folder() {
        let hostile = HostileRepository::new();
        let other = hostile.path("part/.git").display().to_string();
        let launcher = Launcher::new("/").with_env("GIT_DIR", &other).with_env("GIT_INDEX_FILE", "/nowhere");
        let listed = capture(&launcher, &hostile.path("whole"), Command::ListFiles, &[]).unwrap();
        assert!(listed.stdout.contains("part/a.txt"), "{listed:?}");
    }

    #[test]
    fn git_under_other_programs_runs_no_hooks_and_keeps_other_settings() {
        let hostile = HostileRepository::new();
        let launcher = Launcher::new(hostile.path("whole"));
        let with_setting = launcher
            .with_env("GIT_CONFIG_COUNT", "1")
            .with_env("GIT_CONFIG_KEY_0", "a.b")
            .with_env("GIT_CONFIG_VALUE_0", "kept");
        let hardened = harden(with_setting);
        let _ = hostile.take_canary();
        hardened.read("git", &["ls-files", "-v", "--recurse-submodules"]).unwrap();
        assert!(!hostile.take_canary());
        assert_eq!(hardened.read("git", &["config", "a.b"]).unwrap(), "kept\n");
    }
}
