// What plugins cost that are there: reading their notes at start, and mapping those that are used.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <link.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

#include "tests/plugins/workshop.hpp"

namespace nacre::test {
namespace {

using Clock = std::chrono::steady_clock;

double microseconds_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// As long as what it takes the place of in a plugin's file.
std::string name_of(char series, unsigned i) {
  return fmt::format("{}{:03}", series, i);
}

// As many plugins as asked for, each with an id, a driver and a file of its own.
void fill(Workshop& shop, unsigned n, char series) {
  const std::string good = fixture("good");
  for (unsigned i = 0; i < n; ++i) {
    const std::string name = name_of(series, i);
    shop.put(name + ".so", with(with(good, "test.good", "test." + name), "test-good", "test-" + name));
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
      const std::string driver = "test-" + name_of(series, i);
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

// By a name that leads to the file from other processes as well: a debugger's.
TEST(LoadedPlugin, IsFoundByADebugger) {
  Workshop shop;
  shop.put_fixture("other", "other.so");
  auto plugins = registry(shop.path());
  ASSERT_EQ(load(*plugins, "test-other"), "(loaded)");
  std::string name;
  ::dl_iterate_phdr(
      [](dl_phdr_info* module, size_t, void* found) {
        const std::string_view text = module->dlpi_name;
        if (text.find("/fd/") != text.npos) *static_cast<std::string*>(found) = text;  // the last one
        return 0;
      },
      &name);
  EXPECT_EQ(name.rfind("/proc/" + std::to_string(::getpid()) + "/fd/", 0), 0u) << name;
  char target[4096];
  const ssize_t length = ::readlink(name.c_str(), target, sizeof target);
  ASSERT_GT(length, 0);
  EXPECT_EQ(std::string(target, static_cast<size_t>(length)), shop.path("other.so"));
}

}  // namespace
}  // namespace nacre::test
