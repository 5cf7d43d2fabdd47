// The device on the SDK's fake host, which plays the guest: registers, interrupts, a reset.
#include <gtest/gtest.h>

#include <nacre/fake/device.hpp>

namespace {

using namespace nacre::fake;

TEST(@Class@, CountsRingsAndBeginsAnew) {
  Device device(NACRE_PLUGIN_FILE, "@name@", {{"first", "100"}});
  device.realize();
  nacre_pci& function = *device.instance().pci;
  EXPECT_EQ(function.read_config(0, 4), 0x00011234u);
  EXPECT_EQ(function.read(0, 0, 4), 0x6572636eu);
  EXPECT_EQ(function.read(0, 8, 4), 100u);
  EXPECT_EQ(function.read(0, 8, 4), 101u);
  function.write(0, 16, 4, 1);
  EXPECT_TRUE(function.intx());
  EXPECT_EQ(function.read(0, 16, 4), 1u);
  EXPECT_FALSE(function.intx());
  function.enable();
  function.write(0, 16, 4, 1);
  EXPECT_EQ(function.interrupts(0), 1u);
  device.reset();
  EXPECT_EQ(function.read(0, 8, 4), 100u);
  device.unrealize();  // throws when something is left
}

}  // namespace
