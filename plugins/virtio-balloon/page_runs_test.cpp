#include "page_runs.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace nacre::virtio_balloon {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

// RAM: pages 0..99 and 100..149 adjoining, 1000..1009; read-only: 500..509; not mapped: 600..609.
class PageRuns : public testing::Test {
 protected:
  using Runs = std::vector<std::pair<uint64_t, uint64_t>>;  // first page, pages

  static nacre_memory_region region(uint64_t page, uint64_t pages, uint32_t flags = 0, bool mapped = true) {
    static uint8_t byte;
    return {page * kPageSize, pages * kPageSize, mapped ? &byte : nullptr, flags, -1, 0};
  }
  Runs runs(std::vector<uint32_t> frames) {
    const nacre_memory_view view{sizeof view, 5, sizeof regions_[0], 0, 1, regions_};
    Runs found;
    for_each_run(frames, sdk::MemoryView(&view), [&](uint64_t gpa, uint64_t length) {
      EXPECT_EQ((gpa | length) % kPageSize, 0u);
      found.emplace_back(gpa / kPageSize, length / kPageSize);
    });
    return found;
  }

  const nacre_memory_region regions_[5] = {region(0, 100), region(100, 50), region(500, 10, NACRE_MEMORY_READONLY),
                                           region(600, 10, 0, false), region(1000, 10)};
};

TEST_F(PageRuns, JoinsNeighboursInAnyOrder) {
  EXPECT_THAT(runs({}), IsEmpty());
  EXPECT_THAT(runs({7}), ElementsAre(Pair(7, 1)));
  EXPECT_THAT(runs({9, 8, 7, 6}), ElementsAre(Pair(6, 4)));
  EXPECT_THAT(runs({12, 3, 2, 11, 20, 13}), ElementsAre(Pair(2, 2), Pair(11, 3), Pair(20, 1)));
}

TEST_F(PageRuns, CountsAPageOnce) {
  EXPECT_THAT(runs({5, 5, 5}), ElementsAre(Pair(5, 1)));
  EXPECT_THAT(runs({6, 5, 6, 7, 5}), ElementsAre(Pair(5, 3)));
}

TEST_F(PageRuns, EndsAtEachRegion) {
  EXPECT_THAT(runs({98, 99, 100, 101}), ElementsAre(Pair(98, 2), Pair(100, 2)));
  EXPECT_THAT(runs({148, 149, 150, 151}), ElementsAre(Pair(148, 2)));
  EXPECT_THAT(runs({998, 999, 1000, 1001}), ElementsAre(Pair(1000, 2)));
}

TEST_F(PageRuns, SkipsWhatIsNotRam) {
  EXPECT_THAT(runs({150, 400, 500, 505, 600, 999, 1010, UINT32_MAX, UINT32_MAX - 1, 0x80000000}), IsEmpty());
  EXPECT_THAT(runs({UINT32_MAX, 1, 505}), ElementsAre(Pair(1, 1)));
}

TEST_F(PageRuns, GivesExactlyThePagesOfRam) {
  std::mt19937 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<uint32_t> frames(random() % 300);
    for (uint32_t& frame : frames) frame = random() % 8 ? random() % 1100 : static_cast<uint32_t>(random());
    std::set<uint64_t> expected, found;
    for (uint32_t frame : frames)
      if (frame < 150 || (frame >= 1000 && frame < 1010)) expected.insert(frame);
    uint64_t last = 0;
    for (auto [page, pages] : runs(frames)) {
      EXPECT_GE(page, last);
      last = page + pages;
      for (uint64_t i = 0; i < pages; ++i) found.insert(page + i);
    }
    ASSERT_EQ(found, expected);
  }
}

}  // namespace
}  // namespace nacre::virtio_balloon
