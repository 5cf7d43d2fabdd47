// vCPUs that come and go, in the ACPI name space.
#pragma once

#include "machines/common/acpi.hpp"

namespace nacre::machine {

// The event register, the controller PRES with what is asked of it, and one processor object C000, C001, ... (in
// hexadecimal) for each vCPU that there may be, in this order: terms of \_SB.
std::vector<Bytes> acpi_cpus(const AcpiCpuHotplug& cpus);

// What the event device does at the interrupt of the event register: terms of its method _EVT.
std::vector<Bytes> acpi_cpu_events();

}  // namespace nacre::machine
