#include "machines/common/acpi_pci.hpp"

#include "machines/common/aml.hpp"

namespace nacre::machine {
namespace {

constexpr uint16_t kConfigPorts = 0xcf8;  // to 0xcff: PCI 3.0 §3.2.2.3.2

// One entry for each pin of each slot (ACPI 6.4 §6.2.13); lines go round as PCI-to-PCI Bridge 1.2 §9.1 has them.
Bytes interrupt_routes(uint32_t first_gsi) {
  std::vector<Bytes> routes;
  for (uint32_t slot = 0; slot < 32; ++slot)
    for (uint32_t pin = 0; pin < 4; ++pin)
      routes.push_back(aml::package({aml::integer(slot << 16 | 0xffff), aml::integer(pin), aml::integer(0),
                                     aml::integer(first_gsi + (slot + pin) % 4)}));
  return aml::package(routes);
}

// PCI Firmware Specification 3.2 §4.5.1: the kernel asks in the third word for what it wants to control.
Bytes osc() {
  constexpr uint64_t kNativeHotplug = 1 << 0, kCapabilityStructure = 1 << 4;
  constexpr uint64_t kUnknownUuid = 1 << 2, kUnknownRevision = 1 << 3, kMasked = 1 << 4;
  const Bytes status = aml::path("CDW1"), control = aml::path("CDW3"), granted = aml::local(0);
  return aml::method(
      "_OSC", 4,
      {aml::create_dword_field(aml::argument(3), 0, "CDW1"),
       aml::if_(aml::equal(aml::argument(0), aml::uuid("33db4d5b-1ff7-401c-9657-7441c03dd766")),
                {aml::create_dword_field(aml::argument(3), 8, "CDW3"),
                 aml::and_(control, aml::integer(kNativeHotplug | kCapabilityStructure), granted),
                 aml::if_(aml::not_(aml::equal(aml::argument(1), aml::integer(1))),
                          {aml::or_(status, aml::integer(kUnknownRevision), status)}),
                 aml::if_(aml::not_(aml::equal(control, granted)), {aml::or_(status, aml::integer(kMasked), status)}),
                 aml::store(granted, control)}),
       aml::else_({aml::or_(status, aml::integer(kUnknownUuid), status)}), aml::return_(aml::argument(3))},
      /*serialized=*/true);
}

}  // namespace

Bytes acpi_pci_host(const AcpiPci& pci) {
  std::vector<Bytes> resources = {aml::bus_numbers(0, pci.last_bus), aml::io_ports(kConfigPorts, 8),
                                  aml::io_window(0, kConfigPorts - 1), aml::io_window(kConfigPorts + 8, 0xffff),
                                  aml::memory_window32(pci.window_base, pci.window_length)};
  if (pci.high_length != 0) resources.push_back(aml::memory_window64(pci.high_base, pci.high_length));
  std::vector<Bytes> members = {aml::name("_HID", aml::eisa_id("PNP0A08")),
                                aml::name("_CID", aml::eisa_id("PNP0A03")),
                                aml::name("_UID", aml::integer(0)),
                                aml::name("_SEG", aml::integer(0)),
                                aml::name("_BBN", aml::integer(0)),
                                aml::name("_CCA", aml::integer(1)),
                                aml::name("_CRS", aml::resource_template(resources)),
                                aml::name("_PRT", interrupt_routes(pci.first_gsi)),
                                osc()};
  if (pci.node) members.push_back(aml::name("_PXM", aml::integer(*pci.node)));
  return aml::device("PCI0", members);
}

Bytes acpi_ecam_reservation(const AcpiPci& pci) {
  const uint32_t length = (uint32_t{pci.last_bus} + 1) << 20;
  return aml::device(
      "ECAM",
      {aml::name("_HID", aml::eisa_id("PNP0C02")), aml::name("_UID", aml::integer(0)),
       aml::name("_CRS", aml::resource_template({aml::memory32_fixed(static_cast<uint32_t>(pci.ecam), length)}))});
}

}  // namespace nacre::machine
