// The disk on the SDK's fake host, with a server that does what the test says.
#include <gtest/gtest.h>

#include <cstring>
#include <nacre/fake/device.hpp>
#include <nacre/fake/virtio_driver.hpp>
#include <stdexcept>

#include "server.hpp"

namespace {

using namespace nacre::fake;
using Driver = VirtioDriver;

std::string pattern() {
  std::string bytes(64 << 10, 0);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 512);
  return bytes;
}

constexpr uint64_t kHeader = kBuffers, kStatus = kBuffers + 64, kData = kBuffers + 4096;

class HttpDisk : public testing::Test {
 protected:
  void start(const std::string& timeout = "5000") {
    device_ = std::make_unique<Device>(NACRE_PLUGIN_FILE, "http-disk",
                                       Device::Properties{{"url", server_.url()}, {"timeout", timeout}});
    device_->realize();
    driver_ = std::make_unique<Driver>(device_->instance());
    ASSERT_EQ(driver_->activate(~uint64_t{0}), NACRE_OK);
  }
  // Offers a read of `length` bytes, in two buffers.
  void offer(uint64_t sector, uint32_t length) {
    uint8_t* header = device_->memory().at(kHeader, 16);
    std::memset(header, 0, 16);
    std::memcpy(header + 8, &sector, sizeof sector);
    *device_->memory().at(kStatus, 1) = 0xff;
    Driver::Descriptor* table = driver_->table(0);
    table[0] = {kHeader, 16, Driver::kNext, 1};
    table[1] = {kData, 100, Driver::kNext | Driver::kWrite, 2};
    table[2] = {kData + 100, length - 100, Driver::kNext | Driver::kWrite, 3};
    table[3] = {kStatus, 1, Driver::kWrite, 0};
    driver_->offer(0, 0);
  }
  // Returns the status byte of the read.
  int read(uint64_t sector, uint32_t length) {
    const uint16_t before = driver_->used(0);
    offer(sector, length);
    const bool ended = device_->loop().run_until([&] { return driver_->used(0) != before; }, std::chrono::seconds(10));
    return ended ? *device_->memory().at(kStatus, 1) : -1;
  }
  std::string data(uint32_t length) {
    return std::string(reinterpret_cast<const char*>(device_->memory().at(kData, length)), length);
  }
  void TearDown() override {
    driver_.reset();
    if (device_) device_->unrealize();
  }

  const std::string content_ = pattern();
  Server server_{content_};
  std::unique_ptr<Device> device_;
  std::unique_ptr<Driver> driver_;
};

TEST_F(HttpDisk, ReadsWhatTheServerHas) {
  start();
  uint64_t sectors;
  std::memcpy(&sectors, device_->instance().virtio->config.data(), sizeof sectors);
  EXPECT_EQ(sectors, content_.size() / 512);
  EXPECT_EQ(read(0, 4096), 0);
  EXPECT_EQ(data(4096), content_.substr(0, 4096));
  EXPECT_EQ(read(3, 512), 0);
  EXPECT_EQ(data(512), content_.substr(3 * 512, 512));
  EXPECT_EQ(read(0, 64 << 10), 0);
  EXPECT_EQ(data(64 << 10), content_);
  EXPECT_EQ(server_.connections, 1);
}

TEST_F(HttpDisk, RefusesWhatIsNotThere) {
  start();
  EXPECT_EQ(read(content_.size() / 512, 512), 1);
  EXPECT_EQ(read(127, 1024), 1);
  EXPECT_EQ(read(~uint64_t{0}, 512), 1);
}

TEST_F(HttpDisk, AnErrorOfTheServerIsAnErrorOfTheDisk) {
  start();
  for (const int status : {500, 404, 200}) {
    server_.status = status;
    EXPECT_EQ(read(0, 512), 1);
  }
  server_.status = 206;
  EXPECT_EQ(read(1, 512), 0);
  EXPECT_EQ(data(512), content_.substr(512, 512));
  ASSERT_FALSE(device_->instance().log.empty());
  EXPECT_NE(device_->instance().log.front().find("status 500"), std::string::npos);
}

TEST_F(HttpDisk, ConnectsAgain) {
  start();
  server_.closing = true;
  for (uint64_t sector = 0; sector < 5; ++sector) EXPECT_EQ(read(sector, 512), 0);
  EXPECT_GT(server_.connections, 3);
}

TEST_F(HttpDisk, ASilentServerIsGivenUp) {
  start("100");
  server_.silent = true;
  EXPECT_EQ(read(0, 512), 1);
  server_.silent = false;
  EXPECT_EQ(read(0, 512), 0);
}

TEST_F(HttpDisk, AResetDoesNotWaitForTheServer) {
  start("600000");
  server_.silent = true;
  offer(0, 512);
  device_->loop().settle();
  const auto before = std::chrono::steady_clock::now();
  driver_->reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(5));
  server_.silent = false;
  ASSERT_EQ(driver_->activate(~uint64_t{0}), NACRE_OK);
  EXPECT_EQ(read(2, 512), 0);
}

TEST_F(HttpDisk, StopsForAMoment) {
  start();
  offer(0, 512);
  device_->quiesce();
  const uint16_t before = driver_->used(0);
  offer(1, 512);
  device_->loop().settle();
  EXPECT_EQ(driver_->used(0), before);
  device_->resume();
  EXPECT_TRUE(device_->loop().run_until([&] { return driver_->used(0) != before; }, std::chrono::seconds(10)));
}

TEST(HttpDiskUrl, IsRefusedInWords) {
  const std::pair<const char*, const char*> wrong[] = {
      {"ftp://host/file", "does not begin with http://"},
      {"https://host/file", "asks for encryption"},
      {"http://host", "names no file"},
      {"http://host/", "names no file"},
      {"http:///file", "names no host"},
      {"http://host:0/file", "the port '0'"},
      {"http://host:65536/file", "the port '65536'"},
      {"http://host:/file", "the port ''"},
      {"http://me@host/file", "has a user name"},
      {"http://host/a file", "must be written as %XX"},
      {"http://host/a\r\nX: y", "must be written as %XX"},
      {"http://127.0.0.1:1/file", "cannot connect to 127.0.0.1:1: Connection refused"},
      {"http://[::1]:1/file", "cannot connect to [::1]:1"},
  };
  for (const auto& [url, words] : wrong) {
    try {
      Device device(NACRE_PLUGIN_FILE, "http-disk", {{"url", url}});
      device.realize();
      ADD_FAILURE() << url << " is taken";
    } catch (const std::runtime_error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }
}

}  // namespace
