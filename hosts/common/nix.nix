# Nix itself, on the host.
{
  nix = {
    settings = {
      # The commands `nix build`, `nix run` and the like, and flakes.
      experimental-features = [
        "nix-command"
        "flakes"
      ];
      # Deployments copy store paths that no cache has signed. The administrator is in the group wheel.
      trusted-users = [ "@wheel" ];
    };
    # Each deploy leaves the systems before it in the store, for a rollback. Those of more than 30 days go, as a card is
    # small; the running one stays in any case.
    gc = {
      automatic = true;
      dates = "weekly";
      options = "--delete-older-than 30d";
    };
  };
}
