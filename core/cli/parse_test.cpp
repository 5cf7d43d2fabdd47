// Command lines that are right, and what is understood by them.
#include <unistd.h>

#include "core/cli/parse_testing.hpp"

namespace nacre::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

Options accepted(const std::string& line) {
  Result<Options> options = parse_line(line);
  EXPECT_TRUE(options) << line << "\n" << (options ? "" : options.error().message);
  return options ? *options : Options();
}
Options with_rest(const std::string& line) {
  return accepted(line + kRest);
}

TEST(Parse, ExampleOfMicrovm) {
  Options options = accepted(
      "-machine microvm -smp 1 -m 1024m -kernel vmlinux.bin -append \"console=ttyS0 pci=off reboot=k quiet panic=1 "
      "root=/dev/vda\" -drive file=rootfs,id=rootfs,readonly=off,direct=off -device "
      "virtio-blk-device,drive=rootfs,id=rootfs -qmp unix:sock,server,nowait -serial stdio");
  EXPECT_EQ(options.machine.type, "microvm");
  EXPECT_EQ(options.cpu.max_cpus, 1u);
  EXPECT_EQ(options.memory, 1ull << 30);
  EXPECT_EQ(options.append, "console=ttyS0 pci=off reboot=k quiet panic=1 root=/dev/vda");
  ASSERT_THAT(options.drives, SizeIs(1));
  EXPECT_EQ(options.drives[0].file, "rootfs");
  EXPECT_FALSE(options.drives[0].direct);
  EXPECT_EQ(options.drives[0].engine(), BlockAio::Off);
  ASSERT_THAT(options.devices, SizeIs(1));
  EXPECT_EQ(options.devices[0].driver, "virtio-blk-device");
  EXPECT_EQ(options.devices[0].id, "rootfs");
  EXPECT_THAT(options.devices[0].properties, ElementsAre(Pair("drive", "rootfs")));
  EXPECT_EQ(options.serial, "serial_chardev");
  ASSERT_THAT(options.chardevs, SizeIs(1));
  EXPECT_EQ(options.chardevs[0].kind, Chardev::Kind::Stdio);
  ASSERT_THAT(options.qmp, SizeIs(1));
  EXPECT_EQ(options.qmp[0].path, "sock");
}

TEST(Parse, ExampleOfQ35WithoutItsFirmware) {
  Options options = accepted(
      "-machine q35 -kernel bzImage -append \"console=ttyS0 root=/dev/vda reboot=k panic=1\" -device "
      "pcie-root-port,port=0x0,addr=0x1.0x0,bus=pcie.0,id=pcie.1 -drive file=rootfs,id=rootfs,readonly=off -device "
      "virtio-blk-pci,drive=rootfs,bus=pcie.1,addr=0x0.0x0,id=blk-0 -qmp unix:sock,server,nowait -serial stdio");
  EXPECT_EQ(options.machine.type, "q35");
  ASSERT_THAT(options.devices, SizeIs(2));
  EXPECT_THAT(options.devices[0].properties,
              ElementsAre(Pair("port", "0x0"), Pair("addr", "0x1.0x0"), Pair("bus", "pcie.0")));
  EXPECT_EQ(options.drives[0].engine(), BlockAio::Native);
}

TEST(Parse, Globals) {
  Options options = with_rest("-global pcie-root-port.fast-unplug=1 -global org.x.foo.depth=a=b");
  ASSERT_THAT(options.globals, SizeIs(2));
  EXPECT_EQ(options.globals[0].driver, "pcie-root-port");
  EXPECT_EQ(options.globals[0].property, "fast-unplug");
  EXPECT_EQ(options.globals[0].value, "1");
  EXPECT_EQ(options.globals[1].driver, "org.x.foo");
  EXPECT_EQ(options.globals[1].value, "a=b");
}

TEST(Parse, KatasLine) {
  Options options = accepted(
      "-name sandbox-0123456789abcdef -uuid 3F2504E0-4F89-41D3-9A0C-0305E82C3301 -smp 2 -m 2048 -kernel /k/vmlinux "
      "-append \"console=hvc0 reboot=k\" agent.log=debug quiet -qmp unix:/run/vc/vm/x/qmp.socket,server,nowait -D "
      "/run/log -disable-seccomp -machine type=microvm,dump-guest-core=off,mem-share=on -initrd /k/initrd -drive "
      "id=a,file=/i/a,readonly=on,direct=off -drive id=b,file=/i/a,readonly=on,direct=off -device "
      "virtio-blk-device,drive=a,id=a");
  EXPECT_EQ(options.name, "sandbox-0123456789abcdef");
  EXPECT_EQ(options.uuid, "3f2504e0-4f89-41d3-9a0c-0305e82c3301");
  EXPECT_EQ(options.cpu.cpus, 2u);
  EXPECT_EQ(options.cpu.cores, 2u);
  EXPECT_EQ(options.append, "console=hvc0 reboot=k agent.log=debug quiet");
  EXPECT_EQ(options.log_file, "/run/log");
  EXPECT_FALSE(options.seccomp);
  EXPECT_FALSE(options.dump_guest_core);
  EXPECT_TRUE(options.share_memory);
  EXPECT_EQ(options.initrd, "/k/initrd");
  EXPECT_TRUE(options.drives[1].readonly);
}

TEST(Parse, Netdevs) {
  Options options = with_rest(
      "-netdev tap,id=a,ifname=tap0,queues=4,vhost=on,vhostfds=6:7:8:9 -netdev tap,id=b,fds=3:4,macnat=off -netdev "
      "user,id=c -netdev tap,id=d,fd=10,vhost=on -netdev tap,id=e,ifname=tap1,path=/dev/tun");
  ASSERT_THAT(options.netdevs, SizeIs(5));
  EXPECT_EQ(options.netdevs[0].ifname, "tap0");
  EXPECT_EQ(options.netdevs[0].pairs(), 4u);
  EXPECT_TRUE(options.netdevs[0].vhost);
  EXPECT_THAT(options.netdevs[0].vhostfds, ElementsAre(6, 7, 8, 9));
  EXPECT_THAT(options.netdevs[1].fds, ElementsAre(3, 4));
  EXPECT_EQ(options.netdevs[1].pairs(), 2u);
  EXPECT_EQ(options.netdevs[2].kind, NetKind::User);
  EXPECT_THAT(options.netdevs[3].fds, ElementsAre(10));
  EXPECT_TRUE(options.netdevs[3].vhostfds.empty());
  EXPECT_EQ(options.netdevs[4].path, "/dev/tun");
}

TEST(Parse, Defaults) {
  Options options = with_rest("");
  EXPECT_EQ(options.machine.type, "microvm");
  EXPECT_EQ(options.memory, 256ull << 20);
  EXPECT_EQ(options.max_memory, options.memory);
  EXPECT_TRUE(options.dump_guest_core);
  EXPECT_FALSE(options.share_memory);
  EXPECT_TRUE(options.seccomp);
  EXPECT_FALSE(options.freeze);
  EXPECT_FALSE(options.daemonize);
  EXPECT_TRUE(options.plugin.hotload);
  EXPECT_THAT(options.plugin.directories, IsEmpty());
  EXPECT_EQ(options.serial, "");
  EXPECT_FALSE(options.help);
}

TEST(Parse, Machine) {
  Options options =
      with_rest("--machine MicroVM,accel=kvm,usb=off,acpi=off,dump_guest_core=no,gic-version=3 -accel kvm");
  EXPECT_EQ(options.machine.type, "microvm");
  EXPECT_FALSE(options.dump_guest_core);
  EXPECT_THAT(options.machine.properties, ElementsAre(Pair("acpi", "off"), Pair("gic-version", "3")));
  EXPECT_EQ(accepted("-machine none -qmp tcp:127.0.0.1:4444,server,nowait").machine.type, "none");
}

TEST(Parse, Cpus) {
  struct Case {
    const char* value;
    uint32_t cpus, max_cpus, sockets, dies, clusters, cores, threads;
  };
  for (const Case& c : {Case{"4", 4, 4, 1, 1, 1, 4, 1}, Case{"cpus=4,maxcpus=8", 4, 8, 1, 1, 1, 8, 1},
                        Case{"8,sockets=2,threads=2", 8, 8, 2, 1, 1, 2, 2}, Case{"8,cores=2", 8, 8, 4, 1, 1, 2, 1},
                        Case{"8,cores=2,sockets=2", 8, 8, 2, 1, 1, 2, 2},
                        Case{"1,sockets=2,dies=1,clusters=2,cores=2,threads=1", 1, 8, 2, 1, 2, 2, 1},
                        Case{"254", 254, 254, 1, 1, 1, 254, 1}, Case{"0x10", 16, 16, 1, 1, 1, 16, 1}}) {
    CpuLayout cpu = with_rest(std::string("-smp ") + c.value).cpu;
    EXPECT_EQ(std::vector({cpu.cpus, cpu.max_cpus, cpu.sockets, cpu.dies, cpu.clusters, cpu.cores, cpu.threads}),
              std::vector({c.cpus, c.max_cpus, c.sockets, c.dies, c.clusters, c.cores, c.threads}))
        << c.value;
  }
  with_rest("-cpu host");
  with_rest("-cpu host,pmu=off");
  const kvm::FeatureChanges changes = with_rest("-cpu host,avx2=off,+sse4.1,-tsc-deadline,smap=on").cpu_features;
  EXPECT_EQ(changes, (kvm::FeatureChanges{{"avx2", false}, {"sse4.1", true}, {"tsc-deadline", false}, {"smap", true}}));
}

TEST(Parse, Memory) {
  EXPECT_EQ(with_rest("-m 128").memory, 128ull << 20);
  EXPECT_EQ(with_rest("-m size=512M").memory, 512ull << 20);
  EXPECT_EQ(with_rest("-m 131076K").memory, 131076ull << 10);
  EXPECT_EQ(with_rest("-m 512g").memory, 512ull << 30);
  EXPECT_EQ(with_rest("-m 1G,maxmem=2G").max_memory, 2ull << 30);
}

TEST(Parse, Drive) {
  BlockOptions drive = with_rest(
                           "-drive id=d,file=/a=b,if=none,direct=false,throttling.iops-total=1000000,aio=io-uring,"
                           "media=disk,discard=unmap,detect_zeroes=unmap,format=raw,readonly=yes")
                           .drives.at(0);
  EXPECT_EQ(drive.file, "/a=b");
  EXPECT_TRUE(drive.readonly);
  EXPECT_EQ(drive.aio, BlockAio::IoUring);
  EXPECT_TRUE(drive.discard);
  EXPECT_EQ(drive.detect_zeroes, DetectZeroes::Unmap);
  EXPECT_EQ(drive.iops_total, 1'000'000u);
  with_rest("-drive id=d,file=x,discard=ignore,aio=threads,detect-zeroes=on");
}

TEST(Parse, DriversOfPlugins) {
  BlockOptions drive = with_rest("-drive size=1G,file=/x,readonly=on,driver=ram-disk,id=d").drives.at(0);
  EXPECT_EQ(drive.driver, "ram-disk");
  EXPECT_TRUE(drive.readonly);
  EXPECT_EQ(drive.file, "");
  EXPECT_EQ(drive.properties, (Properties{{"size", "1G"}, {"file", "/x"}}));
  EXPECT_EQ(with_rest("-drive id=d,driver=file,file=x").drives.at(0).driver, "");
  // Two of them share no file.
  with_rest("-drive id=d,driver=ram-disk -drive id=e,driver=ram-disk");

  NetOptions net = with_rest("-netdev my-net,id=n,queues=words,macnat=on").netdevs.at(0);
  EXPECT_EQ(net.driver, "my-net");
  EXPECT_EQ(net.properties, (Properties{{"queues", "words"}, {"macnat", "on"}}));
  EXPECT_EQ(with_rest("-netdev user,id=n").netdevs.at(0).driver, "");

  Chardev chardev = with_rest("-chardev echo,id=c,path=3").chardevs.at(0);
  EXPECT_EQ(chardev.kind, Chardev::Kind::Plugin);
  EXPECT_EQ(chardev.driver, "echo");
  EXPECT_EQ(chardev.properties, (Properties{{"path", "3"}}));
}

TEST(Parse, Chardevs) {
  Options options = with_rest(
      "-serial chardev:c -chardev socket,id=a,path=/s,server,nowait -chardev pty,id=c -chardev file,id=d,path=/f "
      "-chardev null,id=e -chardev socket,id=f,port=0x50,server,nowait -chardev socket,id=g,port=1,host=10.0.0.1 "
      "-mon chardev=a,mode=control,id=m");
  EXPECT_EQ(options.serial, "c");
  ASSERT_THAT(options.chardevs, SizeIs(6));
  EXPECT_EQ(options.chardevs[0].path, "/s");
  EXPECT_TRUE(options.chardevs[0].server && options.chardevs[0].nowait);
  EXPECT_EQ(options.chardevs[1].kind, Chardev::Kind::Pty);
  EXPECT_EQ(options.chardevs[2].kind, Chardev::Kind::File);
  EXPECT_EQ(options.chardevs[3].kind, Chardev::Kind::Null);
  EXPECT_EQ(options.chardevs[4].host, "0.0.0.0");
  EXPECT_EQ(options.chardevs[4].port, 80);
  EXPECT_EQ(options.chardevs[5].host, "10.0.0.1");
  ASSERT_THAT(options.qmp, SizeIs(2));
  EXPECT_EQ(options.qmp[1].path, "/s");
  EXPECT_EQ(options.qmp[1].id, "m");
}

TEST(Parse, InlineSerial) {
  EXPECT_EQ(with_rest("-serial socket,path=/s,server,nowait").chardevs.at(0).id, "serial_chardev");
  EXPECT_EQ(with_rest("-serial socket,port=22,host=127.0.0.1,server,nowait").chardevs.at(0).port, 22);
  EXPECT_EQ(with_rest("-serial file,path=/f").chardevs.at(0).path, "/f");
  EXPECT_EQ(with_rest("-serial pty").chardevs.at(0).kind, Chardev::Kind::Pty);
  EXPECT_EQ(with_rest("-serial null").chardevs.at(0).kind, Chardev::Kind::Null);
}

TEST(Parse, Management) {
  Options options = accepted(
      "-kernel k -initrd i -qmp tcp:127.0.0.1:4444,server,nowait,iothread=t -object iothread,id=t -object "
      "iothread,id=u -freeze");
  EXPECT_EQ(options.qmp.at(0).host, "127.0.0.1");
  EXPECT_EQ(options.qmp.at(0).port, 4444);
  EXPECT_EQ(options.qmp.at(0).iothread, "t");
  EXPECT_THAT(options.iothreads, ElementsAre("t", "u"));
  EXPECT_TRUE(options.freeze);
  options = with_rest("-object rng-random,id=a,filename=/dev/random -object rng-random,id=b");
  ASSERT_EQ(options.random_sources.size(), 2u);
  EXPECT_EQ(options.random_sources[0].filename, "/dev/random");
  EXPECT_EQ(options.random_sources[1].id, "b");
  EXPECT_EQ(options.random_sources[1].filename, "/dev/urandom");
  EXPECT_TRUE(with_rest("-S").freeze);
  EXPECT_TRUE(with_rest("-freeze_cpu").freeze);
}

TEST(Parse, Process) {
  Options options = with_rest("-daemonize -pidfile /run/p -D");
  EXPECT_TRUE(options.daemonize);
  EXPECT_EQ(options.pidfile, "/run/p");
  EXPECT_EQ(options.log_file, "");
  EXPECT_EQ(with_rest("-name x -D log").log_file, "log");
  EXPECT_EQ(with_rest("-uuid 3f2504e04f8941d39a0c0305e82c3301").uuid, "3f2504e0-4f89-41d3-9a0c-0305e82c3301");
}

TEST(Parse, Plugins) {
  std::string hash(64, 'A');
  PluginChoice plugin = with_rest(
                            "-plugin-dir /a/./b//c -plugin-dir rel -plugin-insecure-dir /d -plugin-insecure-dir "
                            "/a/b/c -plugin file=x.so -plugin prefer=org.x.foo -plugin-allow sha256:" +
                            hash + " -plugin-hotload off")
                            .plugin;
  char directory[4096];
  ASSERT_TRUE(::getcwd(directory, sizeof directory));
  ASSERT_THAT(plugin.directories, SizeIs(3));
  EXPECT_EQ(plugin.directories[0].path, "/a/b/c");
  EXPECT_TRUE(plugin.directories[0].insecure);
  EXPECT_EQ(plugin.directories[1].path, std::string(directory) + "/rel");
  EXPECT_FALSE(plugin.directories[1].insecure);
  EXPECT_TRUE(plugin.directories[2].insecure);
  EXPECT_THAT(plugin.files, ElementsAre(std::string(directory) + "/x.so"));
  EXPECT_THAT(plugin.preferred, ElementsAre("org.x.foo"));
  EXPECT_THAT(plugin.allowed, ElementsAre(std::string(64, 'a')));
  EXPECT_FALSE(plugin.hotload);
}

TEST(Parse, IgnoredForLibvirt) {
  with_rest(
      "-overcommit mem-lock=off -no-user-config -nodefaults -sandbox on,obsolete=deny -msg timestamp=on -rtc "
      "base=utc -boot strict=on -nographic -realtime mlock=off -usb -display none -msg x");
}

TEST(Parse, WordsOfAppend) {
  EXPECT_EQ(with_rest("-append a b -append \"c -- -d\" -S").append, "a b c -- -d");
  EXPECT_EQ(with_rest("-append a -1 - b").append, "a -1 - b");
}

TEST(Parse, DevicesWithoutIdAndWithoutBackEnd) {
  Options options =
      with_rest("-device virtio-rng-device,max_bytes=1 -device virtio-rng-device -drive id=unused,file=x");
  ASSERT_THAT(options.devices, SizeIs(2));
  EXPECT_EQ(options.devices[0].id, "");
  EXPECT_THAT(options.devices[0].properties, ElementsAre(Pair("max_bytes", "1")));
}

TEST(Parse, Landlock) {
  Options options = with_rest("-landlock /a/./b -landlock path=/c,access=rw");
  ASSERT_THAT(options.landlock, SizeIs(2));
  EXPECT_EQ(options.landlock[0].path, "/a/b");
  EXPECT_FALSE(options.landlock[0].writable);
  EXPECT_TRUE(options.landlock[1].writable);
  EXPECT_TRUE(options.confined());
  EXPECT_FALSE(with_rest("").confined());
}

TEST(Parse, Smbios) {
  Options options = with_rest("-smbios type=1,serial=7,manufacturer=A -smbios 17 -smbios type=4,max-speed=0x10");
  ASSERT_THAT(options.smbios, SizeIs(4));
  EXPECT_EQ(options.smbios[0].type, 1u);
  EXPECT_EQ(options.smbios[0].name, "manufacturer");
  EXPECT_EQ(options.smbios[1].value, "7");
  EXPECT_EQ(options.smbios[2].type, 17u);
  EXPECT_EQ(options.smbios[2].name, "");
  EXPECT_EQ(options.smbios[3].type, 4u);
}

TEST(Parse, DescriptorsThatTheWordsSpeakOf) {
  EXPECT_THAT(with_rest("-netdev tap,id=n,fds=3:4:5,vhost=on,vhostfds=12:13:14 -drive id=x,file=/dev/fd/7,readonly=on "
                        "-device vhost-vsock-device,id=v,guest-cid=3,vhostfd=9 -plugin file=/proc/self/fd/63")
                  .descriptors,
              testing::UnorderedElementsAre(3, 4, 5, 12, 13, 14, 7, 9, 63));
}

// Nobody runs a kernel there, so none is demanded, and no root file system either; the test needs no QMP.
TEST(Parse, MachinesWithoutVcpus) {
  Options options = accepted("-machine q35 -qtest unix:/tmp/x");
  EXPECT_TRUE(options.no_vcpus);
  EXPECT_EQ(options.test.path, "/tmp/x");
  EXPECT_FALSE(options.test.listen);
  EXPECT_FALSE(options.test.stratovirt);
  EXPECT_TRUE(accepted("-machine microvm -qtest unix:/tmp/x,server=on,wait=off -accel qtest").test.listen);
  EXPECT_TRUE(accepted("-machine microvm -qtest unix:/tmp/x,server,nowait").test.listen);
  EXPECT_TRUE(accepted("-machine microvm,accel=qtest -qmp unix:/tmp/q,server,nowait").no_vcpus);
  options = accepted("-machine q35 -accel test -mod-test unix:/tmp/x -smp 2 -cpu host,-avx2");
  EXPECT_TRUE(options.no_vcpus);
  EXPECT_TRUE(options.test.stratovirt);
  EXPECT_EQ(options.test.path, "/tmp/x");
  options = accepted("-machine q35 -mod-test /tmp/x -cpu host,pmu=on -mem-path \"/tmp/m\"");
  EXPECT_TRUE(options.no_vcpus);
  EXPECT_EQ(options.test.path, "/tmp/x");
  // -accel overrides what -machine says.
  EXPECT_FALSE(with_rest("-machine microvm,accel=qtest -accel kvm").no_vcpus);
}

}  // namespace
}  // namespace nacre::cli
