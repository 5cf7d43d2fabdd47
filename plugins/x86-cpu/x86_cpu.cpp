// generic-x86-cpu: a vCPU that comes while the guest runs. The host makes it and the machine tells its guest; the
// driver is the name by which users ask for one.
#include <nacre/plugin.hpp>

namespace nacre::x86_cpu {
namespace {

constexpr nacre_prop kProps[] = {
    {.type = NACRE_PROP_U64,
     .name = "cpu-id",
     .help = "number of the vCPU, counted from 0: one that -smp maxcpus= leaves free (required)",
     .max = 253},
};

class X86Cpu : public sdk::Device {
 public:
  using Device::Device;
  sdk::Status realize(nacre_error*) override { return {}; }
  void unrealize() override {}
};

constexpr nacre_type kType = sdk::device_type<X86Cpu>(
    "generic-x86-cpu", "cpu", "a vCPU beside those that the machine begins with", kProps, NACRE_TYPE_HOTPLUGGABLE);

}  // namespace
}  // namespace nacre::x86_cpu

NACRE_PLUGIN(&nacre::x86_cpu::kType);
