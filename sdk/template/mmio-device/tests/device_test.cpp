// The device on the SDK's fake host, which plays the guest: reads, a write, and state that goes to another device.
#include <gtest/gtest.h>

#include <nacre/fake/device.hpp>

namespace {

using namespace nacre::fake;

TEST(@Class@, CountsReadsAndKeepsItsState) {
  Device device(NACRE_PLUGIN_FILE, "@name@", {{"addr", "0xe0000000"}});
  device.realize();
  const nacre_mmio_region& range = device.instance().regions.front();
  EXPECT_EQ(range.base, 0xe0000000);
  EXPECT_EQ(range.ops.read(range.opaque, 0, 4), 0x6572636eu);
  range.ops.write(range.opaque, 8, 4, 100);
  EXPECT_EQ(range.ops.read(range.opaque, 8, 4), 100u);

  Device other(NACRE_PLUGIN_FILE, "@name@");
  other.realize();
  other.load(device.save());
  const nacre_mmio_region& its_range = other.instance().regions.front();
  EXPECT_EQ(its_range.ops.read(its_range.opaque, 8, 4), 101u);
  device.unrealize();  // throws when something is left
  other.unrealize();
}

}  // namespace
