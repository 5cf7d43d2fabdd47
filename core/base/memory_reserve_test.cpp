#include "core/base/memory_reserve.hpp"

#include <gtest/gtest.h>

#include <new>

namespace nacre {
namespace {

TEST(MemoryReserve, IsGivenBackPieceByPieceAndTakenAgain) {
  EXPECT_TRUE(memory_reserve::restore()) << "nobody has taken it, so nothing is missing";
  memory_reserve::take();
  const std::new_handler out_of_memory = std::get_new_handler();
  ASSERT_TRUE(out_of_memory);
  for (int round = 0; round < 3; ++round) {
    int pieces = 0;
    EXPECT_THROW(for (;; ++pieces) out_of_memory(), std::bad_alloc);
    EXPECT_EQ(pieces, 4);
    EXPECT_THROW(out_of_memory(), std::bad_alloc);
    EXPECT_TRUE(memory_reserve::restore());
    EXPECT_TRUE(memory_reserve::restore());
  }
  std::set_new_handler(nullptr);
}

}  // namespace
}  // namespace nacre
