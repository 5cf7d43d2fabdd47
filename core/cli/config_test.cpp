#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "core/cli/config_file.hpp"
#include "core/cli/parse_testing.hpp"

namespace nacre::cli {
namespace {

using ::testing::HasSubstr;

class Config : public testing::Test {
 protected:
  void TearDown() override { ::unlink(path_.c_str()); }

  // What `-config` of a file with this text gives.
  Result<Options> read(const std::string& text, const std::string& more = "") {
    std::ofstream(path_) << text;
    return parse_line("-config " + path_ + " -api-channel unix:sock " + more);
  }
  std::string refused(const std::string& text, const std::string& more = "") {
    Result<Options> options = read(text, more);
    return options ? "" : options.error().message;
  }
  std::string dump(const std::string& line) {
    Result<Options> options = parse_line(line + " -dump-config");
    EXPECT_TRUE(options) << options.error().message;
    return options && options->help ? options->help->text : "";
  }

  const std::string path_ = testing::TempDir() + "config-" + std::to_string(::getpid()) + ".json";
};

constexpr const char* kWhole = R"({
  "boot-source": {"kernel_image_path": "/k", "boot_args": "console=ttyS0 a=b,c", "initrd_image_path": "/i"},
  "machine-config": {"name": "vm", "type": "microvm", "vcpu_count": 4, "mem_size": 805306368, "omit_vm_memory": true},
  "iothread": [{"id": "io0"}],
  "block": [{"drive_id": "rootfs", "path_on_host": "/r", "direct": false, "read_only": true, "serial_num": "s",
             "iothread": "io0", "iops": 100}],
  "net": [{"iface_id": "net0", "host_dev_name": "tap0", "mac": "52:54:00:00:00:01"},
          {"iface_id": "net1", "tap_fds": [3, 4], "vhost": true, "vhost_fds": [5, 6], "mq": true, "queue_size": 512},
          {"iface_id": "net2", "tap_fd": 7, "vhost_type": "vhost-kernel", "vhost_fd": 8},
          {"iface_id": "net3", "host_dev_name": "tap3", "queues": 4}],
  "console": [{"console_id": "c", "socket_path": "/c.sock"}],
  "vsock": {"vsock_id": "v", "guest_cid": 7},
  "balloon": {"deflate_on_oom": true},
  "rng": {"rng_id": "r", "random_file": "/dev/random"},
  "serial": {"stdio": true}
})";

TEST_F(Config, StandsForTheOptions) {
  Result<Options> read_options = read(kWhole);
  ASSERT_TRUE(read_options) << read_options.error().message;
  const Options& options = *read_options;
  EXPECT_EQ(options.kernel, "/k");
  EXPECT_EQ(options.append, "console=ttyS0 a=b,c");
  EXPECT_EQ(options.initrd, "/i");
  EXPECT_EQ(options.name, "vm");
  EXPECT_EQ(options.cpu.cpus, 4u);
  EXPECT_EQ(options.memory, 805306368u);
  EXPECT_FALSE(options.dump_guest_core);
  ASSERT_EQ(options.drives.size(), 1u);
  EXPECT_EQ(options.drives[0].file, "/r");
  EXPECT_TRUE(options.drives[0].readonly);
  EXPECT_FALSE(options.drives[0].direct);
  EXPECT_EQ(options.drives[0].iops_total, 100u);
  ASSERT_EQ(options.netdevs.size(), 4u);
  EXPECT_EQ(options.netdevs[0].ifname, "tap0");
  EXPECT_EQ(options.netdevs[1].fds, (std::vector<int>{3, 4}));
  EXPECT_TRUE(options.netdevs[1].vhost);
  EXPECT_EQ(options.netdevs[1].vhostfds, (std::vector<int>{5, 6}));
  EXPECT_EQ(options.devices[2].properties, (Properties{{"netdev", "net1"}, {"mq", "on"}, {"queue-size", "512"}}));
  EXPECT_EQ(options.netdevs[2].fds, (std::vector<int>{7}));
  EXPECT_TRUE(options.netdevs[2].vhost);
  EXPECT_EQ(options.netdevs[2].vhostfds, (std::vector<int>{8}));
  EXPECT_FALSE(options.netdevs[0].vhost);
  EXPECT_EQ(options.netdevs[3].queues, 4u);
  std::vector<std::string> drivers;
  for (const Device& device : options.devices) drivers.push_back(device.driver);
  EXPECT_EQ(drivers,
            (std::vector<std::string>{"virtio-blk-device", "virtio-net-device", "virtio-net-device",
                                      "virtio-net-device", "virtio-net-device", "virtio-serial-device", "virtconsole",
                                      "vhost-vsock-device", "virtio-balloon-device", "virtio-rng-device"}));
  EXPECT_EQ(options.devices[0].properties, (Properties{{"drive", "rootfs"}, {"serial", "s"}, {"iothread", "io0"}}));
  EXPECT_EQ(options.random_sources[0].filename, "/dev/random");
  EXPECT_EQ(options.serial, "serial_chardev");
  ASSERT_EQ(options.qmp.size(), 1u);
  EXPECT_EQ(options.qmp[0].path, "sock");
}

TEST_F(Config, TakesOptionsUnderTheirOwnNames) {
  Result<Options> options = read(R"({"kernel": "/k", "m": "1G", "smp": {"cpus": 2, "sockets": 2}, "drive":
    [{"id": "a", "file": "/a"}, "id=b,file=/b", {"drive_id": "c", "path_on_host": "/c", "serial_num": "s"}], "device": {"driver": "virtio-blk-device", "drive": "a"}, "S": true})");
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->memory, 1ull << 30);
  EXPECT_EQ(options->cpu.sockets, 2u);
  EXPECT_EQ(options->drives[1].file, "/b");
  EXPECT_EQ(options->drives[2].file, "/c");
  ASSERT_EQ(options->devices.size(), 2u);
  EXPECT_EQ(options->devices[0].properties, (Properties{{"drive", "c"}, {"serial", "s"}}));
  EXPECT_EQ(options->devices[1].properties, (Properties{{"drive", "a"}}));
  EXPECT_TRUE(options->freeze);
}

TEST_F(Config, NamesThePathOfWhatIsWrong) {
  const struct {
    const char *text, *says, *also;
  } kCases[] = {
      {"{", "not JSON", ""},
      {"[]", "one object", ""},
      {R"({"boot-sauce": {}})", "boot-sauce: there is no such key", "boot-source"},
      {R"({"boot-source": {"kernel_image": "/k"}})", "boot-source.kernel_image: there is no", "kernel_image_path"},
      {R"({"boot-source": 7})", "boot-source: must be an object", ""},
      {R"({"machine-config": {"vcpu_count": 0}})", "machine-config.vcpu_count", "254"},
      {R"({"machine-config": {"vcpu_count": "many"}})", "machine-config.vcpu_count", "many"},
      {R"({"machine-config": {"mem_size": 12345}})", "machine-config.mem_size", "1024"},
      {R"({"machine-config": {"omit_vm_memory": 1}})", "machine-config.omit_vm_memory", "true or false"},
      {R"({"block": [{"drive_id": "a", "path_on_host": "/a"}, {"drive_id": "b"}]})", "block[1].path_on_host",
       "missing"},
      {R"({"block": [{"drive_id": "a", "path_on_host": "/a,b"}]})", "block[0].path_on_host", "comma"},
      {R"({"device": [{"driver": "d", "a,b": "1"}]})", "device[0]: 'a,b' is no name", "comma"},
      {R"({"device": [{"driver": "d", "a=b": "1"}]})", "device[0]: 'a=b' is no name", "equals sign"},
      {R"({"device": [{"driver": "d", "": "1"}]})", "device[0]: '' is no name", "empty"},
      {R"({"block": [{"drive_id": "a", "path_on_host": "/a", "direct": "maybe"}]})", "block[0].direct", "maybe"},
      {R"({"net": [{"iface_id": "n", "host_dev_name": {}}]})", "net[0].host_dev_name", "string"},
      {R"({"net": [{"iface_id": "n", "host_dev_name": "t", "vhost_type": "vhost-user"}]})", "net[0].vhost_type",
       "vhost-kernel"},
      {R"({"net": [{"iface_id": "n", "host_dev_name": "t", "vhost_type": true}]})", "net[0].vhost_type",
       "vhost-kernel"},
      {R"({"net": [{"iface_id": "n", "host_dev_name": "t", "queues": 17}]})", "net[0].queues", "16"},
      {R"({"net": [{"iface_id": "n", "host_dev_name": "t", "tapfd": 3}]})", "net[0].tapfd", "tap_fd"},
      {R"({"drive": [{"id": "a", "fyle": "/a"}]})", "drive[0].fyle", "file"},
      {R"({"drive": [{"drive_id": "a", "file": "/a"}]})", "drive[0].file", "path_on_host"},
      {R"({"S": "yes"})", "S: must be true or false", ""},
  };
  for (const auto& one : kCases) {
    const std::string said = refused(one.text);
    EXPECT_THAT(said, HasSubstr(one.says)) << one.text;
    EXPECT_THAT(said, HasSubstr(one.also)) << one.text;
    EXPECT_THAT(said, HasSubstr(path_)) << one.text;
  }
  EXPECT_THAT(refused(kWhole, "-smp 2"), HasSubstr("-smp"));  // given twice
  EXPECT_THAT(refusal("-config /no/such/file"), HasSubstr("/no/such/file"));
}

TEST_F(Config, RefusesAKeyThatIsGivenTwice) {
  const struct {
    const char *text, *path;
  } kCases[] = {
      {R"({"S": true, "S": false})", "S"},
      {R"({"boot-source": {"kernel_image_path": "/a", "boot_args": "", "kernel_image_path": "/b"}})",
       "boot-source.kernel_image_path"},
      {R"({"net": [{"iface_id": "a", "mac": "x"}, {"iface_id": "b", "tap_fds": [3, [4, {}], {}], "iface_id": "c"}]})",
       "net[1].iface_id"},
      {R"({"net": [1, "a", null, true, 1.5, 18446744073709551615, {}, [], {"x": 1, "x": 2}]})", "net[8].x"},
      {R"({"\u0053": true, "S": true})", "S"},
      {R"({"net": [], "a": {"b": {"c": 1}, "b": 2}})", "a.b"},
  };
  for (const auto& one : kCases) {
    EXPECT_EQ(repeated_key(one.text), one.path) << one.text;
    EXPECT_THAT(refused(one.text), HasSubstr(std::string(one.path) + ": the key is given twice")) << one.text;
  }
  for (const char* text : {kWhole, "{}", "", "{", "7", R"({"a": {"x": 1}, "b": {"x": 1}, "c": [{"x": 1}, {"x": 1}]})"})
    EXPECT_EQ(repeated_key(text), "") << text;
}

TEST_F(Config, DumpsWhatItReads) {
  const std::string line =
      "-machine microvm,mem-share=on -smp 2 -cpu host,-avx2,sse4.1=off -m 512 -kernel /k -append console=ttyS0 quiet "
      "-initrd /i "
      "-qmp unix:sock,server,nowait -drive id=d,file=/d,direct=off,throttling.iops-total=5 "
      "-device virtio-blk-device,drive=d,id=d,serial=x -netdev tap,id=n,ifname=tap0 -chardev "
      "socket,id=c,path=/c,server,nowait "
      "-serial chardev:c -object iothread,id=i -S -name vm";
  const std::string first = dump(line);
  EXPECT_THAT(first, HasSubstr("\"throttling.iops-total\": 5"));
  EXPECT_THAT(first, HasSubstr("\"avx2\": \"off\""));
  std::ofstream(path_) << first;
  EXPECT_EQ(dump("-config " + path_), first);
  // Sections become options
  std::ofstream(path_) << kWhole;
  const std::string second = dump("-config " + path_ + " -qmp unix:sock,server,nowait");
  std::ofstream(path_) << second;
  EXPECT_EQ(dump("-config " + path_), second);
}

// The published file is the one that is checked by; `nacre -config-schema` writes it anew.
TEST_F(Config, SchemaIsPublished) {
  std::ifstream file(NACRE_SCHEMA);
  std::stringstream published;
  published << file.rdbuf();
  EXPECT_EQ(published.str(), config_schema());
}

}  // namespace
}  // namespace nacre::cli
