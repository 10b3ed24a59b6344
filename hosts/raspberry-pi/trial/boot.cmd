# Starts the entry of the boot menu that trial.env names, once.
#
# U-Boot runs this script while it scans FIRMWARE, before it reads the menu on NIXOS_SD. The flag is cleared before its
# label is used: whatever becomes of the trial, the next boot starts DEFAULT. The script ends with `false`, so that
# U-Boot goes on to the menu; without a label there, or with one that the menu lacks, U-Boot starts DEFAULT.
setenv pxe_label_override
setenv trial_label
if fatload ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} trial.env 200; then
  if env import -c ${kernel_addr_r} 200 trial_label; then
    mw.b ${kernel_addr_r} 0 200
    if fatwrite ${devtype} ${devnum}:${distro_bootpart} ${kernel_addr_r} trial.env 200; then
      echo "trial: ${trial_label}, once"
      setenv pxe_label_override ${trial_label}
    else
      echo "trial: trial.env cannot be cleared, so there is no trial"
    fi
  else
    echo "trial: none"
  fi
else
  echo "trial: there is no trial.env"
fi
false
