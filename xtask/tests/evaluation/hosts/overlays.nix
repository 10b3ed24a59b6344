# A host with overlays and parameters in config.txt, in every form that the options take, and with some that change
# nothing.
{ lib, ... }:
{
  hardware.raspberry-pi.configtxt = {
    settings = {
      all = {
        dtparam = [
          "i2c_arm=on"
          "spi=on"
        ];
        dtoverlay = "";
        camera_auto_detect = true;
        display_auto_detect = false;
        gpu_mem = 16;
      };
      pi4 = {
        dtoverlay = "gpio-fan,temp=80000";
        dtparam = [ ];
        "board-type=0x14".dtparam = "ant2";
      };
    };
    deviceTreeOverlays = {
      all = lib.mkDefault [ { disable-bt = { }; } ];
      pi5 = [
        { uart2-pi5 = { }; }
        { dwc2.dr_mode = "host"; }
      ];
      cm5 = [ ];
    };
  };
}
