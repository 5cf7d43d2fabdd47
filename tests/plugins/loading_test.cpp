// What plugins cost that are there: reading their notes at start, and mapping those that are used.
#include <dlfcn.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdio>

#include "tests/plugins/workshop.hpp"

namespace nacre::test {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// As many plugins as asked for, each with an id, a driver and a file of its own.
void fill(Workshop& shop, unsigned n, char series) {
  const std::string good = fixture("good");
  for (unsigned i = 0; i < n; ++i) {
    char name[8];
    std::snprintf(name, sizeof name, "%c%03u", series, i);
    shop.put(std::string(name) + ".so",
             with(with(good, "test.good", std::string("test.") + name), "test-good", std::string("test-") + name));
  }
}

TEST(LoadingCost, IsSmallForWhatIsNotUsed) {
  char series = 'a';
  for (const unsigned n : {1u, 10u, 100u}) {
    Workshop shop;
    fill(shop, n, series);
    std::unique_ptr<Registry> plugins;
    double scan = 1e9;
    for (int again = 0; again < 5; ++again) {
      plugins = registry(shop.path());
      const auto start = Clock::now();
      ASSERT_TRUE(plugins->start());
      scan = std::min(scan, microseconds_since(start));
    }
    double map = 0;
    for (unsigned i = 0; i < n; ++i) {
      char driver[16];
      std::snprintf(driver, sizeof driver, "test-%c%03u", series, i);
      const auto start = Clock::now();
      ASSERT_EQ(load(*plugins, driver), "(loaded)");
      map += microseconds_since(start);
    }
    std::printf("figure: %u plugins in the directory: %.1f us each to scan, %.1f us each to map\n", n, scan / n,
                map / n);
    // No figure of a loaded machine, but a scan that maps would be beyond it.
    EXPECT_LT(scan / n, 5000);
    ++series;
  }
}

}  // namespace
}  // namespace nacre::test
