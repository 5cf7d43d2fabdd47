#include "core/plugin/version_order.hpp"

#include <gtest/gtest.h>

namespace nacre {
namespace {

void expect_older(std::string_view a, std::string_view b) {
  EXPECT_LT(compare_versions(a, b), 0) << a << " " << b;
  EXPECT_GT(compare_versions(b, a), 0) << a << " " << b;
}

TEST(CompareVersions, OrdersNumbersPartByPart) {
  expect_older("1.2", "1.3");
  expect_older("1.9", "1.10");
  expect_older("1.2", "1.2.1");
  expect_older("0.99.99", "1");
  expect_older("1.99999999999999999999", "1.100000000000000000000");
  expect_older("1.a", "1.b");
  expect_older("", "0.1");
}

TEST(CompareVersions, KnowsPreReleases) {
  expect_older("2.0-rc1", "2.0");
  expect_older("2.0-rc.9", "2.0-rc.10");
  expect_older("1.9", "2.0-rc1");
}

TEST(CompareVersions, FindsEqualOnes) {
  for (auto [a, b] :
       {std::pair{"1.2", "1.2"}, {"1.2", "1.2.0"}, {"1.02", "1.2"}, {"1.2+build5", "1.2+build6"}, {"", ""}})
    EXPECT_EQ(compare_versions(a, b), 0) << a << " " << b;
}

}  // namespace
}  // namespace nacre
