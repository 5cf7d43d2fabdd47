// What the words about memory make of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/cli/config_file.hpp"
#include "core/cli/parse_testing.hpp"

namespace nacre::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint64_t kMiB = 1 << 20;
const std::string kTwo =
    "-m 512M -smp 4 -object memory-backend-ram,id=m0,size=256M -object memory-backend-memfd,id=m1,size=256 ";

Options good(const std::string& line) {
  Result<Options> options = parse_line(line + kRest);
  EXPECT_TRUE(options) << line << ": " << options.error().message;
  return options ? *options : Options();
}

TEST(MemoryOptions, PlainMemoryIsOnePart) {
  const Options options = good("-m 300M -machine microvm,mem-share=on,dump-guest-core=off -mem-prealloc -mem-path /x");
  ASSERT_EQ(options.ram.size(), 1u);
  const MemoryOptions& part = options.ram[0].options;
  EXPECT_EQ(options.ram[0].size, 300 * kMiB);
  EXPECT_TRUE(part.shared && part.prealloc && !part.dump_guest_core);
  EXPECT_EQ(part.path, "/x");
  EXPECT_TRUE(options.numa.nodes.empty());
  EXPECT_EQ(good("").ram[0].size, Options::kDefaultMemory);
}

TEST(MemoryOptions, BackEndsSayAllThatTheyAre) {
  const Options options = good(
      "-m 512M -object "
      "memory-backend-file,id=m,size=512M,mem-path=/"
      "f,share=off,prealloc=on,dump=off,host-nodes=0-1:4,policy=interleave "
      "-machine q35,memory-backend=m");
  ASSERT_EQ(options.ram.size(), 1u);
  const MemoryOptions& part = options.ram[0].options;
  EXPECT_EQ(part.id, "m");
  EXPECT_EQ(part.path, "/f");
  EXPECT_TRUE(!part.shared && part.prealloc && !part.dump_guest_core);
  EXPECT_THAT(part.host_nodes, ElementsAre(0, 1, 4));
  EXPECT_EQ(part.policy, HostPolicy::Interleave);
  const Options huge = good(
      "-m 512M -machine memory-backend=m "
      "-object memory-backend-memfd,id=m,size=512M,hugetlb=on,hugetlbsize=2M,host-nodes=3");
  EXPECT_TRUE(huge.ram[0].options.hugetlb && huge.ram[0].options.shared);
  EXPECT_EQ(huge.ram[0].options.huge_page_size, 2 * kMiB);
  EXPECT_EQ(huge.ram[0].options.policy, HostPolicy::Bind);
  // Shared by the machine where the back end does not say.
  const std::string rest = " -machine microvm,mem-share=on,memory-backend=m -m 512M";
  EXPECT_TRUE(good("-object memory-backend-ram,id=m,size=512M" + rest).ram[0].options.shared);
  EXPECT_FALSE(good("-object memory-backend-ram,id=m,size=512M,share=off" + rest).ram[0].options.shared);
}

TEST(MemoryOptions, NodesHaveMemoryProcessorsAndDistances) {
  const Options options = good(kTwo +
                               "-numa node,nodeid=3,cpus=[1:3],memdev=m1 -numa node,nodeid=0,cpus=0,memdev=m0 "
                               "-numa dist,src=0,dst=3,val=40 -mem-prealloc");
  ASSERT_EQ(options.numa.nodes.size(), 2u);
  EXPECT_EQ(options.numa.nodes[0].id, 0u);
  EXPECT_EQ(options.numa.nodes[1].id, 3u);
  EXPECT_EQ(options.numa.nodes[1].ram_size, 256 * kMiB);
  EXPECT_THAT(options.numa.cpu_nodes, ElementsAre(0, 1, 0, 1));
  EXPECT_THAT(options.numa.distances, ElementsAre(10, 40, 40, 10));
  ASSERT_EQ(options.ram.size(), 2u);
  EXPECT_EQ(options.ram[0].options.id, "m0");
  EXPECT_FALSE(options.ram[0].options.shared);
  EXPECT_TRUE(options.ram[1].options.shared);
  EXPECT_TRUE(options.ram[0].options.prealloc && options.ram[1].options.prealloc);
  const std::string nodes = "-numa node,nodeid=0,memdev=m0 -numa node,nodeid=1,memdev=m1 ";
  EXPECT_THAT(good(kTwo + nodes).numa.distances, ElementsAre(10, 20, 20, 10));
  EXPECT_THAT(
      good(kTwo + nodes + "-numa dist,src=0,dst=1,val=30 -numa dist,src=1,dst=0,val=31 -numa dist,src=1,dst=1,val=10")
          .numa.distances,
      ElementsAre(10, 30, 31, 10));
}

TEST(MemoryOptions, WrongWordsAreRefused) {
  const std::string ram = "-object memory-backend-ram,id=m,size=256M", node = kTwo + "-numa node,nodeid=0,memdev=m0 ";
  const std::string both = node + "-numa node,nodeid=1,memdev=m1 ";
  const std::pair<std::string, std::string> rows[] = {
      {"-object memory-backend-ram,id=m", "-object: size is missing"},
      {"-object memory-backend-file,id=m,size=1G", "-object: mem-path is missing"},
      {"-object memory-backend-rom,id=m", "Did you mean 'memory-backend-ram'?"},
      {ram + ",preallok=on", "Did you mean 'prealloc'?"},
      {ram + ",hugetlb=on", "-object memory-backend-ram: there is no 'hugetlb'"},
      {ram + ",prealloc=on,mem-prealloc=on", "'mem-prealloc' and 'prealloc' are the same"},
      {ram + ",policy=bind", "policy=bind needs the nodes that it is about"},
      {ram + ",policy=default,host-nodes=0", "host-nodes is of no effect with policy=default"},
      {ram + ",policy=strict,host-nodes=0", "-object: policy cannot be 'strict'"},
      {ram + ",host-nodes=1-0", "-object: host-nodes cannot be '1-0'"},
      {ram + ",host-nodes=0-", "-object: host-nodes cannot be '0-'"},
      {ram + ",host-nodes=0-9999", "numbers up to 1023"},
      {ram + " " + ram, "Object m has been added"},
      {"-object iothread,id=m " + ram, "Object m has been added"},
      {"-object memory-backend-ram,id=m,size=0", "the size of 'm' cannot be '0'"},
      {"-object memory-backend-ram,id=m,size=2K", "the size of 'm' cannot be '2K'"},
      {"-object memory-backend-memfd,id=m,size=2M,hugetlbsize=2M", "hugetlbsize goes with hugetlb"},
      {"-object memory-backend-memfd,id=m,size=2M,hugetlb=on,hugetlbsize=3M", "it is a power of two"},
      {ram + " -machine memory-backend=n", "there is no memory back end 'n'"},
      {ram + " -m 300M -machine memory-backend=m", "-machine: the memory back ends have 268435456 bytes together"},
      {both + "-machine memory-backend=m0", "both say what guest memory is"},
      {node, "the memory back ends of the nodes have 268435456 bytes together, and -m says 536870912"},
      {"-numa dist,src=0,dst=1,val=20", "there are no nodes"},
      {"-numa node,nodeid=0", "-numa: memdev is missing"},
      {"-numa node,memdev=m0", "-numa: nodeid is missing"},
      {"-numa node,nodeid=128,memdev=m0", "-numa: nodeid cannot be '128'"},
      {"-numa cpu,node-id=0", "-numa: kind=cpu is not supported"},
      {"-numa node,nodeid=0,memdev=m9", "there is no memory back end 'm9'"},
      {kTwo + "-numa node,nodeid=0,memdev=m2", "Did you mean 'm"},
      {node + "-numa node,nodeid=1,memdev=m0", "'m0' is in use by -numa node 0"},
      {node + "-numa node,nodeid=0,memdev=m1", "-numa: node 0 is given twice"},
      {kTwo + "-numa node,nodeid=0,memdev=m0,cpus=4 -numa node,nodeid=1,memdev=m1", "vCPUs 0 to 3"},
      {kTwo + "-numa node,nodeid=0,memdev=m0,cpus=0-1 -numa node,nodeid=1,memdev=m1,cpus=1-3", "vCPU 1 is in node 0"},
      {kTwo + "-numa node,nodeid=1,memdev=m0,cpus=0-2 -numa node,nodeid=2,memdev=m1", "vCPU 3 is in no node"},
      {kTwo + "-numa node,nodeid=1,memdev=m0,cpus=0:0", "0 is twice in '0:0'"},
      {both + "-numa dist,src=0,dst=2,val=20", "-numa dist: there is no node 2"},
      {both + "-numa dist,src=0,dst=0,val=11", "node 0 is 10 from itself"},
      {both + "-numa dist,src=0,dst=1,val=10", "node 0 is more than 10 from node 1"},
      {both + "-numa dist,src=0,dst=1,val=9", "-numa: val cannot be '9'"},
      {both + "-numa dist,src=0,dst=1,val=20 -numa dist,src=0,dst=1,val=21", "is given twice"},
  };
  for (const auto& [line, sentence] : rows) EXPECT_THAT(refusal(line + kRest), HasSubstr(sentence)) << line;
  std::string nine = "-m 512M ";
  for (int i = 0; i < 9; ++i) nine += fmt::format("-numa node,nodeid={},memdev=m{} ", i, i);
  EXPECT_THAT(refusal(nine + kRest), HasSubstr("at most 8 nodes"));
}

TEST(MemoryOptions, AFileSaysTheSame) {
  auto items = parse_config(R"({"m": "512M", "mem-prealloc": true, "mem-path": "/dev/hugepages",
      "machine": {"type": "q35", "mem-share": true},
      "object": [{"kind": "memory-backend-ram", "id": "m0", "size": "256M", "prealloc": true, "host-nodes": "0-1"},
                 {"kind": "memory-backend-file", "id": "m1", "size": 256, "mem-path": "/f", "share": false}],
      "numa": [{"kind": "node", "nodeid": 0, "cpus": "0", "memdev": "m0"}, "node,nodeid=1,memdev=m1",
               {"kind": "dist", "src": 0, "dst": 1, "val": 33}]})",
                            "vm.json");
  ASSERT_TRUE(items) << items.error().message;
  std::string line;
  for (const ConfigItem& item : *items) line += fmt::format("-{} {} ", item.option->name, item.text);
  const Options options = good(line);
  ASSERT_EQ(options.ram.size(), 2u);
  EXPECT_TRUE(options.ram[0].options.prealloc);
  EXPECT_FALSE(options.ram[1].options.shared);
  EXPECT_THAT(options.numa.distances, ElementsAre(10, 33, 33, 10));
}

}  // namespace
}  // namespace nacre::cli
