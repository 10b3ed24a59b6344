# config.txt: what the firmware of a Pi reads before it starts U-Boot. One file serves all boards.
{ config, lib, ... }:
{
  assertions = [
    {
      assertion = !(config.hardware.raspberry-pi.firmware.enable or false);
      message =
        "hardware.raspberry-pi.firmware.enable writes FIRMWARE at each switch, where a power cut leaves half a file; "
        + "here update-firmware writes it.";
    }
  ];

  hardware.raspberry-pi.configtxt.settings = {
    all = {
      arm_64bit = true;
      # One U-Boot for all boards. The firmware hands it the device tree of the board.
      kernel = "u-boot.bin";
      # The firmware would draw warnings over the console, and the drawing disturbs the mainline kernel.
      avoid_warnings = true;
      # Without a serial port U-Boot hangs on the Pi 3 and the Pi 4, even where its console is a screen.
      enable_uart = lib.mkDefault true;
      arm_boost = lib.mkDefault true;
      disable_overscan = lib.mkDefault true;
      disable_fw_kms_setup = lib.mkDefault true;
      max_framebuffers = lib.mkDefault 2;
    };
    # The clock of the serial port follows this clock; at another frequency, U-Boot's console is noise.
    pi3.core_freq = 250;
    # This stub and this routing of interrupts are the firmware's own defaults by now. They are named because it is with
    # them that nixpkgs' images were seen to start on a Pi 4. On a Pi 5 the stub would hang.
    pi4 = {
      enable_gic = true;
      armstub = "armstub8-gic.bin";
    };
    # The USB of a Compute Module 4 is that of its host controller.
    cm4.otg_mode = lib.mkDefault true;
    # The serial port for debugging has no pull-up: without a cable, U-Boot takes noise for keys and stops its
    # countdown. The kernel uses the port all the same.
    pi5.enable_uart = lib.mkDefault false;
  };
}
