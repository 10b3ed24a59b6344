# A host that is no Pi: a workstation. Its administrator has no file of keys beside this one, and a host without
# a way in does not evaluate.
{
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  boot.loader.systemd-boot.enable = true;
  users.users.somebody.openssh.authorizedKeys.keys = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA nobody"
  ];
  system.stateVersion = "26.05";
}
