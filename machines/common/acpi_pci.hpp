// The PCI Express root complex in the ACPI name space.
#pragma once

#include "machines/common/acpi.hpp"

namespace nacre::machine {

// Device PCI0: its windows, interrupt lines, and the native hot-plug that _OSC gives away.
Bytes acpi_pci_host(const AcpiPci& pci);
// The device that says the configuration space's memory is taken (PCI Firmware Specification 3.2 §4.1.2).
Bytes acpi_ecam_reservation(const AcpiPci& pci);

}  // namespace nacre::machine
