//! What the versions of Nix and its relatives print, for the tests of what reads it. All print the same facts: a
//! derivation for `aarch64-linux`, its path, a flake in git at one commit. Of the settings only those that are read are
//! here.

/// What one version prints.
pub struct Recorded {
    /// `nix --version`.
    pub version: &'static str,
    /// The release that this line means.
    pub release: &'static str,
    /// `nix config show --json`, to 2.19 `nix show-config --json`.
    pub config: &'static str,
    /// `nix derivation show`.
    pub derivation: &'static str,
    /// `nix path-info --json` for the derivation.
    pub path_info: &'static str,
    /// `nix flake metadata --json` for `git+file:///src`.
    pub metadata: &'static str,
    /// `nix store ping --json`, as user who is trusted.
    pub store: &'static str,
}

/// The name of the derivation in the store.
pub const DERIVATION: &str = "wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv";
/// The revision of the flake.
pub const REVISION: &str = "de6c6badf8ebfbc53e25d978176fd4e74f038c04";

pub const ALL: &[Recorded] = &[
    // By the sources of <https://github.com/NixOS/nix> at the tag 2.18.9: `Config::toJSON`, `Derivation::toJSON`,
    // `Store::pathInfoToJSON`, `CmdFlakeMetadata`, `CmdPingStore`.
    Recorded {
        version: "nix (Nix) 2.18.9",
        release: "Nix 2.18.9",
        config: concat!(
            r#"{"builders":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"#,
            r#""value":"@/etc/nix/machines"},"extra-platforms":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":["aarch64-linux"]},"max-jobs":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":1},"sandbox":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":true},"sandbox-paths":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":["/bin/sh=/usr/bin/bash-static"]},"#,
            r#""secret-key-files":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"value":[]},"#,
            r#""substituters":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"#,
            r#""value":["https://cache.nixos.org/"]},"system":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":"x86_64-linux"}}"#,
        ),
        derivation: concat!(
            r#"{"/nix/store/wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv":{"args":["-c","echo > $out"],"#,
            r#""builder":"/bin/sh","env":{"builder":"/bin/sh","name":"a","#,
            r#""out":"/nix/store/3xvfk8dxykhd547hzmlrqx20z4nqhj09-a","system":"aarch64-linux"},"inputDrvs":{},"#,
            r#""inputSrcs":[],"name":"a","outputs":{"out":{"path":"/nix/store/3xvfk8dxykhd547hzmlrqx20z4nqhj09-"#,
            r#"a"}},"system":"aarch64-linux"}}"#,
        ),
        path_info: concat!(
            r#"[{"ca":"text:sha256:1l6qm1yvfpigb73z46izf55pajhwqdcpjmyrvnnib1fqg8b4pwbk","#,
            r#""narHash":"sha256-Sqcybh/9jOnO0QrAmfgzFiOt8XVOeASkajjcdnt0fAQ=","narSize":360,"#,
            r#""path":"/nix/store/wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv","references":[],"#,
            r#""registrationTime":1796031631,"valid":true}]"#,
        ),
        metadata: concat!(
            r#"{"lastModified":1796031631,"locked":{"lastModified":1796031631,"#,
            r#""narHash":"sha256-VO8KzRYOgpVx36ZrJgyhKBIqs/LCSt75RVaCYxQv9TY=","ref":"refs/heads/master","#,
            r#""rev":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","revCount":1,"type":"git","url":"file:///src"},"#,
            r#""locks":{"nodes":{"root":{}},"root":"root","version":7},"original":{"type":"git","#,
            r#""url":"file:///src"},"originalUrl":"git+file:///src","#,
            r#""path":"/nix/store/9vym1f1kyygc8aj8h7fd5zhrk3532062-source","resolved":{"type":"git","#,
            r#""url":"file:///src"},"resolvedUrl":"git+file:///src","revCount":1,"#,
            r#""revision":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","#,
            r#""url":"git+file:///src?ref=refs/heads/master&rev=de6c6badf8ebfbc53e25d978176fd4e74f038c04"}"#,
        ),
        store: r#"{"trusted":1,"url":"local","version":"2.18.9"}"#,
    },
    // Printed by Nix 2.26.3 of Debian 13.
    Recorded {
        version: "nix (Nix) 2.26.3",
        release: "Nix 2.26.3",
        config: concat!(
            r#"{"builders":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"#,
            r#""value":"@/etc/nix/machines"},"extra-platforms":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":["aarch64-linux"]},"max-jobs":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":1},"sandbox":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":true},"sandbox-paths":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":["/bin/sh=/usr/bin/bash-static"]},"#,
            r#""secret-key-files":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"value":[]},"#,
            r#""substituters":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"#,
            r#""value":["https://cache.nixos.org/"]},"system":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":"x86_64-linux"}}"#,
        ),
        derivation: concat!(
            r#"{"/nix/store/wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv":{"args":["-c","echo > $out"],"#,
            r#""builder":"/bin/sh","env":{"builder":"/bin/sh","name":"a","#,
            r#""out":"/nix/store/3xvfk8dxykhd547hzmlrqx20z4nqhj09-a","system":"aarch64-linux"},"inputDrvs":{},"#,
            r#""inputSrcs":[],"name":"a","outputs":{"out":{"path":"/nix/store/3xvfk8dxykhd547hzmlrqx20z4nqhj09-"#,
            r#"a"}},"system":"aarch64-linux"}}"#,
        ),
        path_info: concat!(
            r#"{"/nix/store/wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv":{"ca":"text:sha256:1l6qm1yvfpigb73z46izf55p"#,
            r#"ajhwqdcpjmyrvnnib1fqg8b4pwbk","deriver":null,"#,
            r#""narHash":"sha256-Sqcybh/9jOnO0QrAmfgzFiOt8XVOeASkajjcdnt0fAQ=","narSize":360,"references":[],"#,
            r#""registrationTime":1796031631,"signatures":[],"ultimate":false}}"#,
        ),
        metadata: concat!(
            r#"{"fingerprint":"242cbf9491245dd14291ad0e1d56f4ef1180e51de1eb3f2a475ca9e9a14a2f94","#,
            r#""lastModified":1796031631,"locked":{"__final":true,"lastModified":1796031631,"#,
            r#""narHash":"sha256-VO8KzRYOgpVx36ZrJgyhKBIqs/LCSt75RVaCYxQv9TY=","ref":"refs/heads/master","#,
            r#""rev":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","revCount":1,"type":"git","url":"file:///src"},"#,
            r#""locks":{"nodes":{"root":{}},"root":"root","version":7},"original":{"type":"git","#,
            r#""url":"file:///src"},"originalUrl":"git+file:///src","#,
            r#""path":"/nix/store/9vym1f1kyygc8aj8h7fd5zhrk3532062-source","resolved":{"type":"git","#,
            r#""url":"file:///src"},"resolvedUrl":"git+file:///src","revCount":1,"#,
            r#""revision":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","#,
            r#""url":"git+file:///src?ref=refs/heads/master&rev=de6c6badf8ebfbc53e25d978176fd4e74f038c04"}"#,
        ),
        store: r#"{"trusted":1,"url":"local","version":"2.26.3"}"#,
    },
    // Printed by Nix 2.34.8 of Debian forky.
    Recorded {
        version: "nix (Nix) 2.34.8",
        release: "Nix 2.34.8",
        config: concat!(
            r#"{"builders":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"#,
            r#""value":"@/etc/nix/machines"},"extra-platforms":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":["aarch64-linux"]},"max-jobs":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":1},"sandbox":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":true},"sandbox-paths":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":{"/bin/sh":{"optional":false,"#,
            r#""source":"/usr/bin/bash-static"}}},"secret-key-files":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":[]},"substituters":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":["https://cache.nixos.org/"]},"system":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":"x86_64-linux"}}"#,
        ),
        derivation: concat!(
            r#"{"derivations":{"wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv":{"args":["-c","echo > $out"],"#,
            r#""builder":"/bin/sh","env":{"builder":"/bin/sh","name":"a","#,
            r#""out":"/nix/store/3xvfk8dxykhd547hzmlrqx20z4nqhj09-a","system":"aarch64-linux"},"#,
            r#""inputs":{"drvs":{},"srcs":[]},"name":"a","#,
            r#""outputs":{"out":{"path":"3xvfk8dxykhd547hzmlrqx20z4nqhj09-a"}},"system":"aarch64-linux","#,
            r#""version":4}},"version":4}"#,
        ),
        path_info: concat!(
            r#"{"/nix/store/wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv":{"ca":"text:sha256:1l6qm1yvfpigb73z46izf55p"#,
            r#"ajhwqdcpjmyrvnnib1fqg8b4pwbk","deriver":null,"#,
            r#""narHash":"sha256-Sqcybh/9jOnO0QrAmfgzFiOt8XVOeASkajjcdnt0fAQ=","narSize":360,"references":[],"#,
            r#""registrationTime":1796031631,"signatures":[],"storeDir":"/nix/store","ultimate":false,"#,
            r#""version":1}}"#,
        ),
        metadata: concat!(
            r#"{"fingerprint":"242cbf9491245dd14291ad0e1d56f4ef1180e51de1eb3f2a475ca9e9a14a2f94","#,
            r#""lastModified":1796031631,"locked":{"__final":true,"lastModified":1796031631,"#,
            r#""narHash":"sha256-VO8KzRYOgpVx36ZrJgyhKBIqs/LCSt75RVaCYxQv9TY=","ref":"refs/heads/master","#,
            r#""rev":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","revCount":1,"type":"git","url":"file:///src"},"#,
            r#""locks":{"nodes":{"root":{}},"root":"root","version":7},"original":{"type":"git","#,
            r#""url":"file:///src"},"originalUrl":"git+file:///src","#,
            r#""path":"/nix/store/9vym1f1kyygc8aj8h7fd5zhrk3532062-source","resolved":{"type":"git","#,
            r#""url":"file:///src"},"resolvedUrl":"git+file:///src","revCount":1,"#,
            r#""revision":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","#,
            r#""url":"git+file:///src?ref=refs/heads/master&rev=de6c6badf8ebfbc53e25d978176fd4e74f038c04"}"#,
        ),
        store: r#"{"trusted":true,"url":"local","version":"2.34.8"}"#,
    },
    // By the sources of <https://github.com/lix-project/lix> at the tag 2.93.3, the same functions: it has kept the
    // list of `path-info`, and has no command `store info`.
    Recorded {
        version: "nix (Lix, like Nix) 2.93.3",
        release: "Lix 2.93.3",
        config: concat!(
            r#"{"builders":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"#,
            r#""value":"@/etc/nix/machines"},"extra-platforms":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":["aarch64-linux"]},"max-jobs":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":1},"sandbox":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":true},"sandbox-paths":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":["/bin/sh=/usr/bin/bash-static"]},"#,
            r#""secret-key-files":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"value":[]},"#,
            r#""substituters":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"#,
            r#""value":["https://cache.nixos.org/"]},"system":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":"x86_64-linux"}}"#,
        ),
        derivation: concat!(
            r#"{"/nix/store/wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv":{"args":["-c","echo > $out"],"#,
            r#""builder":"/bin/sh","env":{"builder":"/bin/sh","name":"a","#,
            r#""out":"/nix/store/3xvfk8dxykhd547hzmlrqx20z4nqhj09-a","system":"aarch64-linux"},"inputDrvs":{},"#,
            r#""inputSrcs":[],"name":"a","outputs":{"out":{"path":"/nix/store/3xvfk8dxykhd547hzmlrqx20z4nqhj09-"#,
            r#"a"}},"system":"aarch64-linux"}}"#,
        ),
        path_info: concat!(
            r#"[{"ca":"text:sha256:1l6qm1yvfpigb73z46izf55pajhwqdcpjmyrvnnib1fqg8b4pwbk","#,
            r#""narHash":"sha256-Sqcybh/9jOnO0QrAmfgzFiOt8XVOeASkajjcdnt0fAQ=","narSize":360,"#,
            r#""path":"/nix/store/wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv","references":[],"#,
            r#""registrationTime":1796031631,"valid":true}]"#,
        ),
        metadata: concat!(
            r#"{"lastModified":1796031631,"locked":{"lastModified":1796031631,"#,
            r#""narHash":"sha256-VO8KzRYOgpVx36ZrJgyhKBIqs/LCSt75RVaCYxQv9TY=","ref":"refs/heads/master","#,
            r#""rev":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","revCount":1,"type":"git","url":"file:///src"},"#,
            r#""locks":{"nodes":{"root":{}},"root":"root","version":7},"original":{"type":"git","#,
            r#""url":"file:///src"},"originalUrl":"git+file:///src","#,
            r#""path":"/nix/store/9vym1f1kyygc8aj8h7fd5zhrk3532062-source","resolved":{"type":"git","#,
            r#""url":"file:///src"},"resolvedUrl":"git+file:///src","revCount":1,"#,
            r#""revision":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","#,
            r#""url":"git+file:///src?ref=refs/heads/master&rev=de6c6badf8ebfbc53e25d978176fd4e74f038c04"}"#,
        ),
        store: r#"{"trusted":1,"url":"local","version":"2.93.3"}"#,
    },
    // By the sources of <https://github.com/DeterminateSystems/nix-src> at version 3.22.2, with the second format of
    // `path-info`, which an option of it asks for.
    Recorded {
        version: "nix (Determinate Nix 3.22.2) 2.35.2",
        release: "Determinate Nix 2.35.2",
        config: concat!(
            r#"{"builders":{"aliases":[],"documentDefault":true,"experimentalFeature":null,"#,
            r#""value":"@/etc/nix/machines"},"extra-platforms":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":["aarch64-linux"]},"max-jobs":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":1},"sandbox":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":true},"sandbox-paths":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":{"/bin/sh":{"optional":false,"#,
            r#""source":"/usr/bin/bash-static"}}},"secret-key-files":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":[]},"substituters":{"aliases":[],"documentDefault":true,"#,
            r#""experimentalFeature":null,"value":["https://cache.nixos.org/"]},"system":{"aliases":[],"#,
            r#""documentDefault":true,"experimentalFeature":null,"value":"x86_64-linux"}}"#,
        ),
        derivation: concat!(
            r#"{"derivations":{"wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv":{"args":["-c","echo > $out"],"#,
            r#""builder":"/bin/sh","env":{"builder":"/bin/sh","name":"a","#,
            r#""out":"/nix/store/3xvfk8dxykhd547hzmlrqx20z4nqhj09-a","system":"aarch64-linux"},"#,
            r#""inputs":{"drvs":{},"srcs":[]},"name":"a","#,
            r#""outputs":{"out":{"path":"3xvfk8dxykhd547hzmlrqx20z4nqhj09-a"}},"system":"aarch64-linux","#,
            r#""version":4}},"version":4}"#,
        ),
        path_info: concat!(
            r#"{"info":{"wqq4hp6l71wvk0hzjh9453w9vsqdhwfz-a.drv":{"ca":{"hash":"sha256-c/FLFnrYhRWt3dlXeVnDHEp1"#,
            r#"S3E/GvLHWS9et32o2NA=","method":"text"},"deriver":null,"#,
            r#""narHash":"sha256-Sqcybh/9jOnO0QrAmfgzFiOt8XVOeASkajjcdnt0fAQ=","narSize":360,"references":[],"#,
            r#""registrationTime":1796031631,"signatures":[],"storeDir":"/nix/store","ultimate":false,"#,
            r#""version":2}},"storeDir":"/nix/store","version":2}"#,
        ),
        metadata: concat!(
            r#"{"fingerprint":"242cbf9491245dd14291ad0e1d56f4ef1180e51de1eb3f2a475ca9e9a14a2f94","#,
            r#""lastModified":1796031631,"locked":{"__final":true,"lastModified":1796031631,"#,
            r#""narHash":"sha256-VO8KzRYOgpVx36ZrJgyhKBIqs/LCSt75RVaCYxQv9TY=","ref":"refs/heads/master","#,
            r#""rev":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","revCount":1,"type":"git","url":"file:///src"},"#,
            r#""locks":{"nodes":{"root":{}},"root":"root","version":7},"original":{"type":"git","#,
            r#""url":"file:///src"},"originalUrl":"git+file:///src","#,
            r#""path":"/nix/store/9vym1f1kyygc8aj8h7fd5zhrk3532062-source","resolved":{"type":"git","#,
            r#""url":"file:///src"},"resolvedUrl":"git+file:///src","revCount":1,"#,
            r#""revision":"de6c6badf8ebfbc53e25d978176fd4e74f038c04","#,
            r#""url":"git+file:///src?ref=refs/heads/master&rev=de6c6badf8ebfbc53e25d978176fd4e74f038c04"}"#,
        ),
        store: r#"{"trusted":true,"url":"local","version":"2.35.2"}"#,
    },
];
