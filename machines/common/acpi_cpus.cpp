#include "machines/common/acpi_cpus.hpp"

#include <string>

#include "machines/common/aml.hpp"

namespace nacre::machine {
namespace {

using aml::argument;
using aml::integer;
using aml::local;
using aml::path;

// Bits of the controller's status register, and of the event register.
enum : uint64_t { kPresent = 1, kInsert = 2, kRemove = 4, kEject = 8 };
constexpr uint64_t kCpuEvent = 16;
constexpr uint64_t kDeviceCheck = 1, kEjectRequest = 3;  // ACPI 6.4 §5.6.6
constexpr uint64_t kAllThere = 0xf;                      // _STA: present, enabled, shown, functioning (§6.3.7)

std::string name_of(uint64_t number) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  return {'C', kDigits[number >> 8 & 15], kDigits[number >> 4 & 15], kDigits[number & 15]};
}

// A method that has the controller for itself.
Bytes alone(std::string_view name, uint8_t arguments, const std::vector<Bytes>& terms) {
  std::vector<Bytes> all = {aml::acquire("CLCK")};
  all.insert(all.end(), terms.begin(), terms.end());
  all.push_back(aml::release("CLCK"));
  return aml::method(name, arguments, all);
}

// PRES: the registers, and methods that the processors and the event device call.
Bytes controller(const AcpiCpuHotplug& cpus) {
  const Bytes selection = path("CSEL"), status = path("CSTS");
  const Bytes select_argument = aml::store(argument(0), selection);
  auto tell_if = [&](uint64_t pending, uint64_t what) {
    return aml::if_(aml::and_(local(1), integer(pending)),
                    {aml::store(integer(pending), status), aml::call("CTEL", {local(0), integer(what)})});
  };
  std::vector<Bytes> tell;  // (vCPU, what)
  for (uint64_t id = 0; id < cpus.present.size(); ++id)
    tell.push_back(aml::if_(aml::equal(argument(0), integer(id)), {aml::notify("\\_SB." + name_of(id), argument(1))}));
  return aml::device(
      "PRES", {aml::name("_HID", aml::eisa_id("PNP0A06")), aml::name("_UID", aml::string("vCPU hot-plug")),
               aml::name("_CRS", aml::resource_template({aml::memory32_fixed(cpus.events, 8)})),
               aml::memory_region("EREG", cpus.events, 4), aml::field("EREG", 4, {"EVTS"}),
               aml::memory_region("CREG", cpus.controller, 3), aml::field("CREG", 1, {"CSEL", "CSTS", "CRES"}),
               aml::mutex("CLCK"), aml::method("CTEL", 2, tell),
               // Is it there? (vCPU)
               aml::method("CSTA", 1,
                           {aml::acquire("CLCK"), select_argument, aml::store(status, local(0)), aml::release("CLCK"),
                            aml::if_(aml::and_(local(0), integer(kPresent)), {aml::return_(integer(kAllThere))}),
                            aml::return_(integer(0))}),
               // The guest has let go. (vCPU)
               alone("CEJE", 1, {select_argument, aml::store(integer(kEject), status)}),
               // What came of a request. (vCPU, the request, its status)
               alone("COST", 3,
                     {aml::if_(aml::equal(argument(1), integer(kEjectRequest)),
                               {select_argument, aml::store(argument(2), path("CRES"))})}),
               // Looks for those that have come or shall go.
               alone("CSCN", 0,
                     {aml::store(integer(0), local(0)),
                      aml::while_(aml::less(local(0), integer(cpus.present.size())),
                                  {aml::store(local(0), selection), aml::store(status, local(1)),
                                   tell_if(kInsert, kDeviceCheck), tell_if(kRemove, kEjectRequest),
                                   aml::increment(local(0))})})});
}

// A processor (§8.4), whose number is its APIC id. _MAT is its entry of the MADT once it is there (§6.2.10).
Bytes processor(uint64_t number) {
  const Bytes id = integer(number);
  const auto byte = static_cast<uint8_t>(number);
  const Bytes entry = {0, 8, byte, byte, 1, 0, 0, 0};
  return aml::device(
      name_of(number),
      {aml::name("_HID", aml::string("ACPI0007")), aml::name("_UID", id), aml::name("_MAT", aml::buffer(entry)),
       aml::method("_STA", 0, {aml::return_(aml::call("\\_SB.PRES.CSTA", {id}))}),
       aml::method("_EJ0", 1, {aml::call("\\_SB.PRES.CEJE", {id})}),
       aml::method("_OST", 3, {aml::call("\\_SB.PRES.COST", {id, argument(0), argument(1)})})});
}

}  // namespace

std::vector<Bytes> acpi_cpus(const AcpiCpuHotplug& cpus) {
  std::vector<Bytes> devices = {controller(cpus)};
  for (uint64_t id = 0; id < cpus.present.size(); ++id) devices.push_back(processor(id));
  return devices;
}

std::vector<Bytes> acpi_cpu_events() {
  return {aml::store(path("\\_SB.PRES.EVTS"), local(0)),
          aml::if_(aml::and_(local(0), integer(kCpuEvent)), {aml::call("\\_SB.PRES.CSCN")})};
}

}  // namespace nacre::machine
