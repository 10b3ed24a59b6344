//! The texts of the files of a new host, in the format of nixfmt.

use super::NewHost;
use super::syntax::attribute;
use crate::nix::quote;

/// The longest line of nixfmt.
const WIDTH: usize = 100;

/// The kernel of the Raspberry Pi foundation, for a board that the mainline kernel has no device tree for; see
/// docs/pi-5.md.
const FOUNDATION_KERNEL: &str = "
  # Mainline Linux has no device tree for this board. No public cache has this kernel.
  boot = {
    kernelPackages = pkgs.linuxPackagesFor (
      pkgs.callPackage \"${inputs.nixos-hardware}/raspberry-pi/common/kernel.nix\" { rpiVersion = 5; }
    );
    # This kernel lacks modules that only other machines need.
    initrd.allowMissingModules = true;
    # It takes the device tree of the firmware, and so the overlays of config.txt.
    loader.generic-extlinux-compatible.useGenerationDeviceTree = false;
  };
  # The USB ports of the board that carries the module.
  hardware.raspberry-pi.configtxt.deviceTreeOverlays.cm5 = [ { dwc2.dr_mode = \"host\"; } ];
";

impl NewHost {
    /// Whether the mainline kernel does not boot the board.
    pub fn needs_foundation_kernel(&self) -> bool {
        self.board == "cm5"
    }

    /// The value of the host in the registry `hosts/default.nix`.
    pub fn registry_value(&self) -> String {
        format!(
            "{{\n  system = \"aarch64-linux\";\n  address = {};\n  admin = {};\n}}",
            quote(&self.address),
            quote(&self.admin)
        )
    }

    /// The content of `hosts/NAME/default.nix` beside the registry.
    pub fn registry_file(&self) -> String {
        let (arguments, kernel) = if self.needs_foundation_kernel() {
            ("{ inputs, pkgs, ... }:\n", FOUNDATION_KERNEL)
        } else {
            ("", "")
        };
        format!(
            "# The Pi {}.\n{arguments}{{\n  imports = [ ../raspberry-pi ];\n{}{kernel}{}}}\n",
            self.name,
            self.board_lines(),
            self.release_lines()
        )
    }

    /// The entry of the host in the outputs of a flake that was made of the template.
    pub fn template_entry(name: &str) -> String {
        format!(
            "nixosConfigurations.{} = nixpkgs.lib.nixosSystem {{\n  system = \"aarch64-linux\";\n  modules = [\n    \
             xtask.nixosModules.raspberry-pi\n    ./hosts/{name}.nix\n  ];\n}};",
            attribute(name)
        )
    }

    /// The content of `hosts/NAME.nix` in a flake that was made of the template.
    pub fn template_file(&self) -> String {
        format!(
            "# The host `{name}`: its name, its user, how it gets onto the network, and what it does.\n{{\n  \
             networking.hostName = {host};\n{board}{ways_in}{release}}}\n",
            name = self.name,
            host = quote(&self.name),
            board = self.board_lines(),
            ways_in = self.ways_in(),
            release = self.release_lines(),
        )
    }

    /// The user of the host, and how that user logs in.
    fn ways_in(&self) -> String {
        format!(
            "
  users.users.{user} = {{
    isNormalUser = true;
    extraGroups = [ \"wheel\" ];
    {keys}
  }};
  users.mutableUsers = false;
  raspberryPi.persistence.admin = {admin};
  security.sudo.wheelNeedsPassword = false;
  services.openssh = {{
    enable = true;
    settings = {{
      PasswordAuthentication = false;
      KbdInteractiveAuthentication = false;
    }};
  }};

  # Deployments copy store paths that no cache has signed.
  nix.settings.trusted-users = [ \"@wheel\" ];
",
            user = attribute(&self.admin),
            admin = quote(&self.admin),
            keys = list("openssh.authorizedKeys.keys", &self.keys, 4)
        )
    }

    /// What the board and the network need.
    fn board_lines(&self) -> String {
        let memory = match self.board {
            "pi3" => "\n  # This board has 1 GB of memory.\n  raspberryPi.storage.rootSize = \"512M\";\n",
            "pi02" => "\n  # This board has 512 MB of memory.\n  raspberryPi.storage.rootSize = \"256M\";\n",
            _ => "",
        };
        let wifi = if self.has_wifi {
            "\n  # The networks are files of the card, such as `flash --wifi SSID` writes.\n  raspberryPi.wifi.enable = \
             true;\n  # Your country, for its channels: without it the radio may miss networks of 5 GHz.\n  \
             # raspberryPi.wifi.country = \"DE\";\n"
        } else {
            ""
        };
        format!(
            "\n  # Evaluation fails where kernel or U-Boot are known not to boot it.\n  raspberryPi.boards = [ {} \
             ];\n{memory}{wifi}",
            quote(self.board)
        )
    }

    fn release_lines(&self) -> String {
        let why =
            "The release of the first installation, by which services interpret old state. Never raise it.";
        format!("\n  # {why}\n  system.stateVersion = {};\n", quote(&self.release))
    }
}

/// The binding of `name` to the list of `texts`, `indent` blanks from the left edge: on one line where it has room for
/// a list of one.
fn list(name: &str, texts: &[String], indent: usize) -> String {
    let items = texts.iter().map(|text| quote(text)).collect::<Vec<_>>();
    let one_line = match &items[..] {
        [] => format!("{name} = [ ];"),
        [item] => format!("{name} = [ {item} ];"),
        _ => String::new(),
    };
    if !one_line.is_empty() && indent + one_line.chars().count() <= WIDTH {
        return one_line;
    }
    let blanks = " ".repeat(indent);
    let lines = items.iter().map(|item| format!("{blanks}  {item}\n")).collect::<String>();
    format!("{name} = [\n{lines}{blanks}];")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    pub fn host(board: &'static str) -> NewHost {
        NewHost {
            name: "smelly".into(),
            admin: "anna".into(),
            address: "smelly.lan".into(),
            board,
            has_wifi: false,
            keys: vec!["ssh-ed25519 AAAA a".into()],
            release: "26.05".into(),
        }
    }

    #[test]
    fn the_file_of_a_host_has_what_its_board_needs() {
        assert_eq!(
            host("pi4").registry_file(),
            "# The Pi smelly.
{
  imports = [ ../raspberry-pi ];

  # Evaluation fails where kernel or U-Boot are known not to boot it.
  raspberryPi.boards = [ \"pi4\" ];

  # The release of the first installation, by which services interpret old state. Never raise it.
  system.stateVersion = \"26.05\";
}
"
        );
        let small = NewHost { has_wifi: true, ..host("pi02") }.registry_file();
        for line in ["rootSize = \"256M\";", "raspberryPi.wifi.enable = true;", "boards = [ \"pi02\" ];"] {
            assert!(small.contains(line), "{small}");
        }
        assert!(host("cm5").registry_file().starts_with("# The Pi smelly.\n{ inputs, pkgs, ... }:\n{\n"));
    }

    #[test]
    fn files_have_the_format_of_nixfmt() {
        for (board, has_wifi) in
            [("pi02", true), ("pi3", false), ("pi4", true), ("cm5", false), ("cm5", true)]
        {
            let host = NewHost { has_wifi, ..host(board) };
            for text in [host.registry_file(), host.template_file()] {
                assert_eq!(nixfmt_rs::format(&text).unwrap(), text);
            }
        }
    }

    #[test]
    fn a_list_has_a_line_for_each_of_several_items() {
        let long = "a".repeat(90);
        for (texts, expected) in [
            (&[][..], "k = [ ];".to_owned()),
            (&["a".to_owned()], "k = [ \"a\" ];".to_owned()),
            (&["a".to_owned(), "b\"".to_owned()], "k = [\n    \"a\"\n    \"b\\\"\"\n  ];".to_owned()),
            (std::slice::from_ref(&long), format!("k = [\n    \"{long}\"\n  ];")),
        ] {
            assert_eq!(list("k", texts, 2), expected);
        }
    }

    /// The template that users begin with has the entry after which this tool adds others.
    #[test]
    fn a_host_is_added_to_the_template() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates/cluster/flake.nix");
        let text = std::fs::read_to_string(file).unwrap();
        let added = super::super::syntax::add_to_outputs(&text, "smelly", NewHost::template_entry).unwrap();
        let entry = "
      nixosConfigurations.smelly = nixpkgs.lib.nixosSystem {
        system = \"aarch64-linux\";
        modules = [
          xtask.nixosModules.raspberry-pi
          ./hosts/smelly.nix
        ];
      };
";
        assert_eq!(added.replacen(entry, "", 1), text);
        assert_eq!(nixfmt_rs::format(&added).unwrap(), added);
        let edited = text.replace("./hosts/pi.nix", "./hosts/pi.nix # mine\n ./octoprint.nix");
        for other in [edited.as_str(), "{ outputs = inputs: { }; }", "{ outputs = inputs: inputs.a { }; }"] {
            let refused = super::super::syntax::add_to_outputs(other, "smelly", NewHost::template_entry);
            assert_eq!(refused, Err(super::super::syntax::Unfit::OtherShape), "{other}");
        }
    }
}
