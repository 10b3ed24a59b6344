# The registry: the facts of each host that other parts need. The folder with its name has its configuration.
{
  stinky = {
    system = "aarch64-linux";
    # The address that ssh and deploys connect to.
    address = "stinky";
    admin = "ppetru";
  };
}
