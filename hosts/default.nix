# The hosts and their facts. What a host is made of is in the folder of its name.
{
  stinky = {
    system = "aarch64-linux";
    # What ssh and deployments connect to.
    address = "stinky";
    admin = "ppetru";
  };
}
