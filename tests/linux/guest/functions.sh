# What the initramfs and the root disk of the test guest share. Everything the guest says to a test is a console line
# that begins with "nacre-guest:".

say() {
  echo "nacre-guest: $*"
}

# Prints the value of the kernel parameter $1, with or without quotes around it; fails where it is not given
param() {
  line=" $(cat /proc/cmdline)"
  case $line in *" $1="*) ;; *) return 1 ;; esac
  rest=${line#*" $1="}
  case $rest in
    \"*)
      rest=${rest#\"}
      echo "${rest%%\"*}"
      ;;
    *) echo "${rest%% *}" ;;
  esac
}

# Loads the drivers of the devices that are there; a kernel with its drivers built in has no module folder
load_drivers() {
  [ -d "/lib/modules/$(uname -r)" ] || return 0
  # shellcheck disable=SC2046 # one word a device
  modprobe -qa $(cat /sys/bus/platform/devices/*/modalias /sys/bus/pci/devices/*/modalias \
    /sys/bus/acpi/devices/*/modalias 2>/dev/null | sort -u)
  # shellcheck disable=SC2046
  modprobe -qa $(cat /sys/bus/virtio/devices/*/modalias 2>/dev/null | sort -u)
  if [ -e /sys/module/button ]; then modprobe -q evdev; fi
}

# Says what machine the guest sees
report() {
  say "uname: $(uname -a)"
  say "cpus: $(nproc)"
  say "memory: $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
  for device in /sys/block/*; do
    [ -e "$device/device" ] || continue
    serial=$(cat "$device/serial" 2>/dev/null)
    say "block: ${device##*/} $(($(cat "$device/size") * 512)) bytes${serial:+ serial $serial}"
  done
  for device in /sys/class/net/*; do
    [ -e "$device/device" ] && say "net: ${device##*/} $(cat "$device/address")"
  done
}

# Ends the guest in order. Without ACPI there is no power-off, so it resets, which ends a VMM under -no-reboot
end() {
  printf '\n' # a prompt may stand on the line
  say "end: $1"
  sync
  mount -o remount,ro / 2>/dev/null
  if [ "$1" = "power-off" ] && [ -d /sys/firmware/acpi ]; then
    poweroff -f
  fi
  reboot -f
}

watch_power_button() {
  [ -e /dev/input/event0 ] || return 0
  mkdir -p /var/run
  acpid -d -c /etc/acpi >/dev/null 2>&1 &
}

# Runs the kernel parameter nacre.run= and ends, or else obeys what is typed on the console. Never returns.
# poweroff and reboot work everywhere: they signal process 1, which is this shell.
obey() {
  trap 'end power-off' USR1 USR2
  trap 'end reset' TERM
  watch_power_button
  if command=$(param nacre.run); then
    say "run: $command"
    sh -c "$command" &
    wait $!
    say "run ended: $?"
    end power-off
  fi
  say "ready"
  while :; do
    setsid cttyhack sh /lib/console &
    wait $!
  done
}
