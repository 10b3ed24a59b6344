# The registry of hosts: the facts of each that are needed outside its own system. nix/hosts.nix makes of an entry the
# configuration of the host, its SD image and its node for deploys. All else about a host is in the folder of its name.
#
# To add a host, run `cargo xtask new-host`; docs/hosts.md has the same by hand.
{
  stinky = {
    # The processor: that of every supported Pi. A PC is "x86_64-linux".
    system = "aarch64-linux";
    # What ssh and deploys connect to: a name that your network knows, such as "stinky.lan", or an IP address.
    address = "stinky";
    # The user who logs in and deploys, with the public keys in hosts/common/keys/ppetru.pub: put your own here.
    admin = "ppetru";
  };
}
