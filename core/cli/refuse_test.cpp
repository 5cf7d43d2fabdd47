// Command lines that are wrong, and what is said about them.
#include <random>

#include "core/cli/option_table.hpp"
#include "core/cli/parse_testing.hpp"

namespace nacre::cli {
namespace {

using ::testing::HasSubstr;

struct Case {
  std::string line;
  const char* sentence;  // a part of it
};

// `start` and so many letters behind it.
std::string longer(const char* start, size_t count) {
  return fmt::format("{}{:x>{}}", start, "", count);
}

void refused(const std::vector<Case>& cases, const std::string& rest = kRest) {
  for (const Case& c : cases) {
    const std::string sentence = refusal(c.line + rest);
    EXPECT_THAT(sentence, HasSubstr(c.sentence)) << c.line;
    EXPECT_FALSE(sentence.empty()) << c.line;
  }
}

TEST(Refuse, Grammar) {
  refused({
      {"-machnie microvm",
       "Found argument '-machnie' which wasn't expected, or isn't valid in the context. Use '-h' or "
       "'-help' to get usage. Did you mean '-machine'?"},
      {"-initrd=x", "Write it as two words: '-initrd x'."},
      {"--smp=2", "Write it as two words: '-smp 2'."},
      {"word", "Found argument 'word' which wasn't expected"},
      {"--", "Found argument '--'"},
      {"-", "Found argument '-'"},
      {"\"\"", "Found argument ''"},
      {"-m 256 -m 512", "The argument '-m' was provided more than once, but cannot be used multiple times"},
      {"-S -freeze", "The argument '-S' was provided more than once"},
      {"-name", "The argument '-name' requires a value, but none was supplied; write '-name TEXT'."},
      {"-append", "The argument '-append' requires a value"},
      {"-name \"\"", "-name is empty"},
      {"-machine \"\"", "-machine is empty"},
      {"-drive id=a,,file=b", "has an empty element"},
      {"-drive id=a,file=b,", "has an empty element"},
      {"-drive id=a,id=c,file=b", "'id' is given twice"},
      {"-device x,a_b=1,a-b=2", "'a-b' is given twice"},
      {"-drive id=a,file=b,redonly=on",
       "-drive: there is no 'redonly'; there is id, driver, file, if, readonly, direct"},
      {"-drive id=a,file=b,redonly=on", "Did you mean 'readonly'?"},
      {"-drive a", "-drive: there is no 'a'"},
      {"-drive id,file=b", "-drive: 'id' has no value; write id=ID."},
      {"-device x,multifunction", "'multifunction' has no value; write multifunction=VALUE."},
      {"-device x,=1", "-device: there is no ''"},
      {longer("-name ", 256), "-name is 256 bytes long; at most 255 are possible."},
      {longer("-drive file=b,id=", 256), "id is 256 bytes long"},
      {longer("-D ", 4097), "-D is 4097 bytes long; at most 4096"},
  });
}

TEST(Refuse, Netdev) {
  refused({
      {"-netdev id=a", "kind is missing in 'id=a'; write tap|user first"},
      {"-netdev tap,ifname=x", "id"},
      {"-netdev tap,id=a", "Tap device is missing, use 'ifname' or 'fd' to configure a tap device"},
      {"-netdev vhost-user,id=a,chardev=c",
       "vhost-user is not supported by this version of Nacre, which takes tap or user"},
      {"-netdev bri!dge,id=a", "it is tap or user"},
      {"-netdev tap,id=a,ifname=x,queues=17", "queues"},
      {"-netdev tap,id=a,ifname=x,queues=0", "queues"},
      {"-netdev tap,id=a,fd=x", "'x' is not the number of a descriptor"},
      {"-netdev tap,id=a,fd=3:4", "fd is one descriptor; write fds=3:4 for several."},
      {"-netdev tap,id=a,fd=3,fds=4:5", "write either fd or fds, not both"},
      {"-netdev tap,id=a,fds=3:3", "descriptor 3 is given twice"},
      {"-netdev tap,id=a,fds=3:4,queues=3", "does not fit the number of descriptors"},
      {"-netdev tap,id=a,ifname=x,vhostfd=3", "Argument 'vhostfd' or 'vhostfds' are not needed for virtio-net device"},
      {"-netdev tap,id=a,ifname=x,vhost=on,vhostfds=3:4", "The num of vhostfds must equal to fds"},
      {"-netdev tap,id=a,ifname=x,macnat=on", "macnat"},
      {"-netdev user,id=a,vhost=on", "vhost"},
      {"-netdev tap,id=a,ifname=x -netdev user,id=a", "Netdev a has been added"},
  });
}

TEST(Refuse, MachineCpuMemory) {
  refused({
    {"-machine microvm,accel=kvm:tcg", "-machine: accel=kvm:tcg is not supported by this version of Nacre"},
        {"-machine microvm,accel=kvn", "-machine: accel cannot be 'kvn'"}, {"-accel qtes", "Did you mean 'qtest'?"},
        {"-qtest /tmp/x", "-qtest cannot be '/tmp/x': write unix:PATH"}, {"-qtest unix:", "-qtest unix: the path"},
        {"-qtest unix:/tmp/x,serve=on", "-qtest: there is no key 'serve'; it takes server and wait. Did you mean"},
        {"-qtest unix:/tmp/x,server=maybe", "-qtest: server cannot be 'maybe'"},
        {"-qtest unix:/tmp/x -accel kvm", "-qtest drives a machine without vCPUs, and accel=kvm asks for them"},
        {"-qtest unix:/tmp/x -machine none", "-qtest drives a machine, and -machine none builds none"},
        {"-accel kvm -mod-test unix:/tmp/x", "-mod-test goes with -accel test"},
        {"-machine q35,accel=qtest -mod-test unix:/tmp/x", "-mod-test goes with -accel test"},
        {"-accel test -mod-test unix:/tmp/x -qtest unix:/tmp/y", "different dialects"},
        {"-machine microvm,usb=on", "usb cannot be 'on': it is off."},
        {"-machine microvm,mem-share=maybe", "-machine: mem-share cannot be 'maybe': it is on or off"},
        {"-accel kvm:tcg", "not supported by this version"}, {"-cpu max", "-cpu: family cannot be 'max': it is host."},
        {"-cpu pmu=on", "-cpu: family is missing"},
        {"-cpu host,avx3=on", "-cpu: there is no processor feature 'avx3'; '-cpu help' lists them. Did you mean 'avx"},
        {"-cpu host,-sse9", "no processor feature 'sse9'"}, {"-cpu host,avx=maybe", "-cpu: avx cannot be 'maybe'"},
        {"-cpu host,avx2=on,-avx2", "'avx2' is given twice"}, {"-cpu host,avx2", "'avx2' has no value"},
#if !defined(__aarch64__)
        {"-cpu host,kvm-steal-time=on", "kvm-steal-time=on is for Arm hosts only"},
#endif
        {"-smp 0", "-smp: cpus cannot be '0': it is a whole number, 1 to 254."}, {"-smp 255", "1 to 254"},
        {"-smp -1", "1 to 254"}, {"-smp 99999999999999999999", "1 to 254"}, {"-smp two", "1 to 254"},
        {"-smp sockets=2", "-smp: cpus is missing"}, {"-smp 4,maxcpus=2", "MAX CPU number is 2, out of range"},
        {"-smp 2,sockets=254,dies=254,clusters=254,cores=254,threads=254", "MAX CPU number"},
        {"-smp 8,sockets=3,cores=2", "sockets * dies * clusters * cores * threads must be equal to max_cpus"},
        {"-smp 8,sockets=3,cores=2,threads=1", "sockets * dies * clusters * cores * threads must be equal to max_cpus"},
        {"-smp 8,sockets=3", "must be equal to max_cpus"},
        {"-smp 2,sockets=254,dies=254,clusters=254", "must be equal to max_cpus"},
        {"-m 0", "Memory size must >= 128MiB and <= 512GiB, default unit: MiB, current memory size: 0 bytes"},
        {"-m 1", "Memory size must >= 128MiB and <= 512GiB, default unit: MiB, current memory size: 1048576"},
        {"-m 127", "Memory size must"}, {"-m 513G", "Memory size must"}, {"-m 131073K", "is not a multiple of a page"},
        {"-m lots", "-m: size cannot be 'lots': a size is a whole number with K, M or G"},
        {"-m 1.5G", "a size is a whole number"}, {"-m G", "a size is a whole number"},
        {"-m 1T", "a size is a whole number"}, {"-m -5", "a size is a whole number"},
        {"-m 18446744073709551615G", "so many bytes cannot be counted"},
        {"-m 1G,maxmem=512M", "maxmem (536870912 bytes) must bigger than current memory size (1073741824 bytes)"},
        {"-uuid 1234", "a UUID is 32 hexadecimal digits"}, {"-uuid 3f2504e0+4f89-41d3-9a0c-0305e82c3301", "a UUID is"},
  });
}

TEST(Refuse, BackEnds) {
  std::string threads;
  for (int i = 0; i < 9; ++i) threads += fmt::format(" -object iothread,id=t{}", i);
  refused({
      {"-drive file=x", "-drive: id is missing in 'file=x'; write id=ID."},
      {"-drive id=x", "-drive: file is missing"},
      {"-drive id=x,file=y -drive id=x,file=z", "Drive x has been added"},
      {"-drive id=a,file=./y -drive id=b,file=y,readonly=on",
       "Failed to add drive y, file can only be shared with read_only."},
      {"-drive file=y,if=pflash", "-drive if=pflash: unit is missing; write unit=0 for the firmware or unit=1"},
      {"-drive file=y,if=pflash,unit=2", "-drive: unit"},
      {"-drive file=y,if=pflash,unit=0 -drive file=z,if=pflash,unit=0", "unit 0 has been added"},
      {"-machine q35 -drive file=y,if=pflash,unit=1", "unit 1 keeps the variables of the firmware in unit 0"},
      {"-drive file=y,if=pflash,unit=0", "the machine microvm boots without firmware"},
      {"-drive id=x,file=y,unit=0", "unit goes with if=pflash"},
      {"-drive file=y,if=pflash,unit=0,format=qcow2", "-drive: format=qcow2 is not supported by this version"},
      {"-drive id=x,file=y,media=cdrom", "media=cdrom is not supported"},
      {"-drive id=x,file=y,format=qcow2", "format=qcow2 is not supported by this version of Nacre, which takes raw."},
      {"-drive id=x,file=y,l2-cache-size=1M", "l2-cache-size is not supported"},
      {"-drive id=x,file=y,aio=nativ",
       "aio cannot be 'nativ': it is native, io_uring, threads or off. Did you mean "
       "'native'?"},
      {"-drive id=x,file=y,aio=native,direct=off", "native aio type should be used with \"direct\" on"},
      {"-drive id=x,file=y,aio=off", "low performance expected when use sync io with \"direct\" on"},
      {"-drive id=x,file=y,throttling.iops-total=1000001", "0 to 1000000"},
      {"-drive id=x,file=y,discard=perhaps", "discard cannot be 'perhaps'"},
      {"-drive id=x,file=y,detect-zeroes=yes", "detect-zeroes cannot be 'yes': it is off, on or unmap."},
      {"-device id=x", "-device: driver is missing"},
      {"-device a,id=x -device b,id=x", "Device id x existed"},
      {"-device a,id=", "id is empty"},
      {"-chardev stdio", "-chardev: id is missing"},
      {"-chardev t/ty,id=x", "-chardev: kind cannot be 't/ty': it is stdio, pty, socket, file or null."},
      {"-chardev redirect-to-log,id=x", "is not supported by this version"},
      {"-chardev pty,id=x,path=y", "-chardev pty: there is no 'path'; there is id."},
      {"-chardev file,id=x", "path is missing"},
      {"-chardev file,id=x,path=y,server", "-chardev file: there is no 'server'"},
      {"-chardev socket,id=x", "either path=PATH for a Unix socket or port=PORT for TCP"},
      {"-chardev socket,id=x,path=y,port=1", "either path=PATH"},
      {"-chardev socket,id=x,path=y,host=1.2.3.4", "host goes with port"},
      {"-chardev socket,id=x,port=0", "1 to 65535"},
      {"-chardev socket,id=x,port=65536", "1 to 65535"},
      {"-chardev socket,id=x,port=1,host=localhost", "it is an IPv4 address"},
      {"-chardev socket,id=x,path=y,nowait", "nowait goes with server"},
      {"-chardev socket,id=x,path=y,server=on", "'server' takes no value"},
      {longer("-chardev socket,id=x,path=", 108), "108 bytes long; at most 107"},
      {"-chardev pty,id=x -chardev pty,id=x", "Chardev x has been added"},
      {"-serial chardev:con -chardev pty,id=cons",
       "Chardev \"con\" not found or is in use; give it with '-chardev "
       "KIND,id=con'. Did you mean 'cons'?"},
      {"-serial chardev:", "-serial chardev is empty"},
      {"-serial stdio,id=x", "-serial stdio: 'id=x' is not understood; there is nothing to add to it."},
      {"-serial socket,path=x", "Argument 'server' and 'nowait' are both required for chardev 'serial_chardev'"},
      {"-serial chardev:a -chardev socket,id=a,path=x", "are both required for chardev 'a'"},
      {"-serial stdio -chardev stdio,id=a", "standard input and output can serve one chardev only"},
      {"-serial stdio -daemonize", "-daemonize takes standard input and output away"},
      {threads, "at most 8 iothreads"},
      {"-object iothread,id=a -object iothread,id=a", "Object a has been added"},
      {"-object iothread", "-object: id is missing"},
      {"-object tls-creds-x509,id=x", "-object: kind=tls-creds-x509 is not supported by this version"},
      {"-object rng-random", "-object: id is missing"},
      {"-object iothread,id=a,filename=/dev/urandom", "filename"},
      {"-object iothread,id=a -object rng-random,id=a", "Object a has been added"},
      {"-object rng-random,id=a -object iothread,id=a", "Object a has been added"},
      {"-object nonsense,id=x", "Unknown object type"},
  });
}

TEST(Refuse, Management) {
  refused(
      {
          {"", "Please use '-qmp' or '-mon' to give a qmp path for Unix socket"},
          {"-qmp unix:x", "Argument 'server' and 'nowait' are both required for -qmp"},
          {"-qmp unix:x,server", "are both required"},
          {"-qmp x,server,nowait", "write unix:PATH,server,nowait or tcp:IP:PORT,server,nowait"},
          {"-qmp unix:,server,nowait", "-qmp unix: the path is empty"},
          {longer("-qmp unix:", 108), "at most 107"},
          {"-qmp tcp:127.0.0.1,server,nowait", "has no port"},
          {"-qmp tcp:localhost:1,server,nowait", "it is an IPv4 address"},
          {"-qmp tcp:127.0.0.1:0,server,nowait", "1 to 65535"},
          {"-qmp unix:x,server,nowait,iothread=t1 -object iothread,id=t", "there is no iothread 't1'"},
          {"-qmp unix:x,server,nowait,nowai",
           "-qmp: there is no 'nowai'; there is server, nowait or iothread. Did you "
           "mean 'nowait'?"},
          {"-mon chardev=a", "-mon: mode is missing"},
          {"-mon chardev=a,mode=readline", "mode cannot be 'readline': it is control."},
          {"-mon chardev=a,mode=control", "Chardev \"a\" not found or is in use"},
          {"-mon chardev=a,mode=control -chardev pty,id=a", "chardev 'a' is no socket"},
          {"-mon chardev=a,mode=control -chardev socket,id=a,path=x",
           "Argument 'server' and 'nowait' are both required for chardev 'a'"},
          {"-mon chardev=a,mode=control -serial chardev:a -chardev socket,id=a,path=x,server,nowait",
           "not found or is in use"},
      },
      " -kernel vmlinux -initrd initrd");
}

TEST(Refuse, ProcessAndPlugins) {
  refused({
      {"-pidfile p", "-pidfile must be used with -daemonize together."},
      {"-plugin x.so", "-plugin: there is no 'x.so'; there is file or prefer."},
      {"-plugin-allow sha256:12", "64 hexadecimal digits"},
      {longer("-plugin-allow ", 64), "it is sha256:"},
      {"-plugin-hotload maybe", "-plugin-hotload cannot be 'maybe': it is on or off"},
      {"-plugin-dir \"\"", "-plugin-dir is empty"},
      {"-plugin-dri x", "Did you mean '-plugin-dir'?"},
  });
}

TEST(Refuse, Boot) {
  refused(
      {
          {"", "kernel file is required for microvm machine type, which is not provided"},
          {"-kernel k", "Before Vm start, set a initrd or drive_file or vhost-user blk as rootfs"},
          {"-kernel k -serial stdio", "Before Vm start"},
          {"-machine q35 -initrd i", "-initrd goes with -kernel"},
      },
      " -qmp unix:x,server,nowait");
  EXPECT_EQ(refusal("-kernel k -chardev socket,id=u,path=x -qmp unix:x,server,nowait"), "");
}

TEST(Refuse, Smbios) {
  refused({
      {"-smbios type=1 -smbios type=1,serial=2", "type 1 is given twice"},
      {"-smbios type=5", "type cannot be '5'"},
      {"-smbios type=0,serial=2", "'serial'"},
      {"-smbios type=1,uuid=x", "uuid"},
      {"-smbios type=4,max-speed=65536", "65535"},
      {"-smbios serial=2", "type"},
  });
}

TEST(Refuse, WhatComesLater) {
  for (const Option& option : option_table()) {
    if (option.section == Section::Later) {
      const std::string name = fmt::format("-{}", option.name);
      EXPECT_THAT(refusal(name), HasSubstr(name + " is not supported by this version of Nacre")) << name;
      EXPECT_THAT(refusal(name + " some,value=x"), HasSubstr("is not supported")) << name;
    }
  }
}

TEST(Refuse, RandomWordsGetAnAnswer) {
  std::mt19937 random(20260101);
  std::vector<std::string> pool = {"-", "--", "", "=", ",", "help", "on", "off", "0", "-1", "99999999999999999999",
                                   "1G"};
  for (const Option& option : option_table()) {
    pool.push_back(fmt::format("-{}", option.name));
    for (const Key& key : option.grammar.keys) {
      pool.push_back(std::string(key.name) + "=" + placeholder(key));
      for (const std::string& word : split_words(key.values)) pool.push_back(word);
    }
  }
  auto pick = [&](size_t count) { return random() % count; };
  size_t taken = 0;
  for (int round = 0; round < 5000; ++round) {
    std::vector<std::string> words;
    if (pick(4) == 0) words = words_of(kRest);
    for (size_t n = pick(8); n > 0; --n) {
      std::string word = pool[pick(pool.size())];
      while (pick(3) == 0) word += (pick(2) ? "," : "=") + pool[pick(pool.size())];
      if (!word.empty() && pick(6) == 0) word[pick(word.size())] = static_cast<char>(1 + pick(255));
      words.push_back(std::move(word));
    }
    Result<Options> options = parse_words(words);
    taken += options ? 1 : 0;
    ASSERT_TRUE(options || !options.error().message.empty());
    ASSERT_TRUE(!options || options->help || options->no_vcpus || !options->qmp.empty());
  }
  EXPECT_GT(taken, 50u);
}

TEST(Refuse, WordsThatAreNotUtf8) {
  // An id of these bytes would be in every answer of query-block.
  EXPECT_THAT(refusal("-drive id=rootf\xc3,file=r" + std::string(kRest)),
              HasSubstr("'id=rootf?,file=r' of the command line is not UTF-8"));
  EXPECT_EQ(refusal("-name g\xc3\xa4st" + std::string(kRest)), "");
}

}  // namespace
}  // namespace nacre::cli
