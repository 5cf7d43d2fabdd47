// The device on the SDK's fake host, which plays the guest: one buffer offered, one buffer filled.
#include <gtest/gtest.h>

#include <nacre/fake/device.hpp>
#include <nacre/fake/virtio_driver.hpp>

namespace {

using namespace nacre::fake;

TEST(@Class@, CountsUpFromItsFirstByte) {
  Device device(NACRE_PLUGIN_FILE, "@name@", {{"first", "254"}});
  device.realize();
  {
    VirtioDriver driver(device.instance());
    ASSERT_EQ(driver.activate(~uint64_t{0}), NACRE_OK);
    driver.table(0)[0] = {kBuffers, 4, VirtioDriver::kWrite, 0};
    driver.offer(0, 0);
    ASSERT_TRUE(device.loop().run_until([&] { return driver.used(0) == 1; }, std::chrono::seconds(5)));
    EXPECT_EQ(driver.used_entry(0, 0), std::pair(0u, 4u));
    EXPECT_EQ(driver.interrupts(), 1u);
    const uint8_t* bytes = device.memory().at(kBuffers, 4);
    EXPECT_EQ(std::vector<int>(bytes, bytes + 4), std::vector({254, 255, 0, 1}));
  }
  device.unrealize();  // throws when something is left
}

}  // namespace
